"""Other speech out of Debian's packages: what a word of one's own is to be held against.

Recordings of other speech are too large, and too many people's, to come with the models. Debian and Ubuntu
have some by package name: telephone prompts of six voices in French, Italian, Russian and Spanish, single
words and syllables by volunteers in some thirty languages, music. Nothing is installed: the packages are
fetched and unpacked.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from snn_voice_lite.visible import visible

from snn_voice_hub import audio
from snn_voice_hub.errors import AudioError, SnnVoiceError
from snn_voice_hub.training.clips.data import as_int16
from snn_voice_hub.training.clips.negatives import INDEX
from snn_voice_hub.user_cache import user_cache
from snn_voice_hub.writing import write_whole, writing_into

# As much as models hear.
_RATE: Final = 16_000
# Raw GSM has no header that would say so.
_GSM_RATE: Final = 8_000
_SHORTEST_SECONDS: Final = 0.15
# Samples of full scale 1.
_QUIETEST: Final = 0.005
_FETCH_SECONDS: Final = 600.0
_ELSEWHERE = "another --out"
# In the prompts of Asterisk: what is no speech.
_NO_SPEECH = re.compile(r"silence/|ascending|descending|beep|.*2tone")
_ABOUT = "recordings out of packages of Debian, 16 kHz: speech in other languages, single words, music"

# Takes what comes, and how many will come, and passes it on.
Show = Callable[[Iterator[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class Package:
    """A package that holds recordings.

    Attributes:
        name: In Debian.
        folder: Where in it they lie.
        licence: Of the recordings.
        kind: Of `negatives.KINDS`.
        speaker: Whose voice it is; "" where each folder below `folder` has its own.
        language: What is spoken; "" where the folder's name says so.
        texts: The package that says what is said, and the file in it; "" where none does.
    """

    name: str
    folder: str
    licence: str
    kind: str = "speech"
    speaker: str = ""
    language: str = ""
    texts: str = ""


_SOUNDS = "usr/share/asterisk/sounds"
PACKAGES: Final = (
    Package(
        "asterisk-core-sounds-fr-wav", _SOUNDS, "CC BY-SA 3.0", "speech", "June Wallack", "fr",
        "asterisk-core-sounds-fr",
    ),
    Package(
        "asterisk-core-sounds-it-wav", _SOUNDS, "CC BY 3.0", "speech", "Carlo Flora", "it",
        "asterisk-core-sounds-it",
    ),
    Package(
        "asterisk-core-sounds-ru-wav", _SOUNDS, "CC BY 3.0", "speech", "Maxim Topal", "ru",
        "asterisk-core-sounds-ru",
    ),
    Package("asterisk-prompt-es-co", _SOUNDS, "GPL-2", "speech", "July E. Jiménez", "es"),
    Package("asterisk-prompt-fr-armelle", _SOUNDS, "BSD-like", "speech", "Armelle Desjardins", "fr"),
    Package("asterisk-prompt-it-menardi-wav", _SOUNDS, "CC BY-SA 3.0", "speech", "Paola Dal Zot", "it"),
    Package("ktuberling-data", "usr/share/ktuberling/sounds", "GPL-2+", "words"),
    Package("klettres-data", "usr/share/klettres", "GPL-2+", "words"),
    Package("asterisk-moh-opsound-wav", "usr/share/asterisk/moh", "CC BY-SA 3.0", "music"),
)  # fmt: skip


def default_negatives() -> Path:
    """Where the set lies if nobody says otherwise; it need not be there."""
    return user_cache() / "negatives"


def is_complete(folder: Path) -> bool:
    """Whether a folder holds all of it."""
    return (folder / INDEX).is_file()


def fetch_negatives(folder: Path, *, show: Show | None = None) -> dict[str, float]:
    """Fetch the packages, and write their recordings as negatives.

    Args:
        folder: Where they go, with an index; one that is complete stays as it is.
        show: Shows how far it is.

    Returns:
        Minutes of each kind.

    Raises:
        SnnVoiceError: This is no Debian, a package can't be had, or the folder can't be written.
    """
    if not is_complete(folder):
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise SnnVoiceError(
                    f"there is no {program} here: the recordings come out of packages of Debian",
                    hint="Debian or Ubuntu, also in a container; or speech of your own, by --negatives",
                )
        with writing_into(folder, _ELSEWHERE):
            folder.mkdir(parents=True, exist_ok=True)
        items = _fetched(folder)
        found = list(show(items, len(PACKAGES)) if show else items)
        index = {"about": _ABOUT, "items": [item for each in found for item in each]}
        # At the end: without it nothing is complete.
        write_whole(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False), hint=_ELSEWHERE)
    return minutes_in(folder)


def minutes_in(folder: Path) -> dict[str, float]:
    """Minutes of each kind in a set that was fetched.

    Raises:
        SnnVoiceError: Its index can't be read.
    """
    minutes: dict[str, float] = {}
    try:
        for item in json.loads((folder / INDEX).read_text(encoding="utf-8"))["items"]:
            minutes[item["kind"]] = minutes.get(item["kind"], 0.0) + float(item["seconds"]) / 60
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SnnVoiceError(
            f"{folder / INDEX} can't be read: {error}", hint=f"remove {folder}, and fetch it again"
        ) from error
    return minutes


def _fetched(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The items of each package, whose sound is in the folder by then."""
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as work:
            root = _unpacked(package.name, Path(work))
            texts = _texts(_unpacked(package.texts, Path(work))) if package.texts else {}
            paths = _sounds(root / package.folder)
            items = (_item(package, root, path, texts, folder) for path in paths)
            yield [item for item in items if item is not None]


def _unpacked(name: str, work: Path) -> Path:
    """A package's content.

    Raises:
        SnnVoiceError: It can't be had.
    """
    target = work / name
    target.mkdir()
    _run(["apt-get", "download", name], target)
    archive = next(target.glob("*.deb"), None)
    if archive is None:
        raise SnnVoiceError(f"apt-get brought no package {name}", hint="apt-get update")
    _run(["dpkg-deb", "-x", archive.name, "x"], target)
    return target / "x"


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SnnVoiceError(f"{' '.join(command)} took over {_FETCH_SECONDS:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SnnVoiceError(f"{' '.join(command)} failed: {visible(said)}", hint="apt-get update")


def _texts(root: Path) -> dict[str, str]:
    """What is said in which file, as a package of Asterisk's prompts has it."""
    found: dict[str, set[str]] = {}
    for path in root.glob("usr/share/doc/*/*.txt.gz"):
        content = gzip.decompress(path.read_bytes()).decode("utf-8-sig", "replace")
        for line in content.splitlines():
            name, colon, text = line.partition(":")
            if colon and not line.startswith(";"):
                found.setdefault(name.strip(), set()).add(text.strip())
    # What stands there twice, with two texts, is not to be trusted.
    return {name: said.pop() for name, said in found.items() if len(said) == 1}


def _sounds(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix in (".wav", ".ogg", ".gsm") and path.is_file() and not path.is_symlink()
    ]


def _item(
    package: Package, root: Path, path: Path, texts: dict[str, str], folder: Path
) -> dict[str, Any] | None:
    """Write a recording into the folder, and describe it; None of one that holds no sound."""
    import soundfile

    inside = path.relative_to(root / package.folder)
    first, _, rest = inside.with_suffix("").as_posix().partition("/")
    if package.kind == "speech" and _NO_SPEECH.match(rest):
        return None
    wave = _wave(path)
    if len(wave) < _SHORTEST_SECONDS * _RATE or np.abs(wave).max() < _QUIETEST:
        return None
    target = folder / package.name / inside.with_suffix(".flac")
    content = io.BytesIO()
    soundfile.write(content, as_int16(wave), _RATE, format="FLAC", subtype="PCM_16")
    with writing_into(folder, _ELSEWHERE):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, content.getvalue(), hint=_ELSEWHERE)
    language = package.language or ("" if package.kind == "music" else first.partition("_")[0])
    text = texts.get(rest, "")
    if package.kind == "words" and language == "en":
        text = path.stem.rpartition("_")[2].lower()
    return {
        "path": target.relative_to(folder).as_posix(),
        "kind": package.kind,
        "speaker": package.speaker or f"{package.name}/{inside.stem if package.kind == 'music' else first}",
        "source": package.name,
        "licence": package.licence,
        "seconds": round(len(wave) / _RATE, 2),
        **({"lang": language} if language else {}),
        **({"transcript": text} if text else {}),
    }


def _wave(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The sound of a file `[N]`; nothing of one that can't be read."""
    import soundfile

    try:
        if path.suffix == ".gsm":
            raw, _ = soundfile.read(
                path, samplerate=_GSM_RATE, channels=1, format="RAW", subtype="GSM610", dtype="float32"
            )
            return audio.load(raw, sample_rate=_GSM_RATE, target_rate=_RATE).numpy()
        return audio.load(path, target_rate=_RATE).numpy()
    except (AudioError, soundfile.SoundFileError):
        return np.zeros(0, np.float32)
