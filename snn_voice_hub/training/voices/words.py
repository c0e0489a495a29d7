"""A small test set that anybody can make: `make words`.

By hand: `python -m snn_voice_hub.training.voices.words words.tar`.

Each word of Speech Commands, spoken a few times by espeak-ng alone, so that two machines with the same
release of it get the same sound. Training heard other utterances by the same voices: what a model reaches
here says that all is well with an installation, and nothing of people.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import tempfile
from pathlib import Path

from snn_voice_hub.config import SPEECH_COMMANDS
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.bundled import speak_words
from snn_voice_hub.training.voices.programs import Espeak
from snn_voice_hub.writing import check_target, write_whole

EACH = 5
# Training drew its utterances with 0.
_SEED = 1


def write_words(path: Path) -> int:
    """Write `path`, a tar of `word/clip.wav`.

    Returns:
        How many clips it holds.

    Raises:
        SnnVoiceError: espeak-ng is not installed or fails, or the file can't be written.
    """
    espeak = Espeak()
    if not espeak.here:
        raise SnnVoiceError(f"{espeak.name} is not installed", hint=f"apt-get install {espeak.name}")
    check_target(path)
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w") as tar:
        counts = dict.fromkeys(SPEECH_COMMANDS, EACH)
        clips = list(speak_words(counts, Path(folder), _SEED, programs=(espeak,)))
        for clip in clips:
            content = clip.read_bytes()
            member = tarfile.TarInfo(clip.relative_to(folder).as_posix())  # no times, no owner: equal bytes
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    write_whole(path, packed.getvalue(), hint="another name")
    return len(clips)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tar", type=Path)
    path = parser.parse_args().tar
    try:
        print(f"{path}: {write_words(path)} clips of {len(SPEECH_COMMANDS)} words")
    except SnnVoiceError as error:
        sys.exit(f"{parser.prog}: error: {error}")


if __name__ == "__main__":
    main()
