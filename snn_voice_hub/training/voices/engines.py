"""Which synthesisers there are, and which of them are here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.voices.kokoro import FOLDER_VARIABLE, Kokoro, kokoro_folder
from snn_voice_hub.training.voices.programs import PROGRAMS
from snn_voice_hub.training.voices.synthesiser import ENGINES, Synthesiser

_INSTALL = "apt-get install espeak-ng flite festival"
_KOKORO = f"snn-voice voices; or --kokoro FOLDER or ${FOLDER_VARIABLE}, where it is somewhere else"


def all_engines(kokoro: Path | None = None) -> list[Synthesiser]:
    """All that are known, in the order of `ENGINES`.

    Args:
        kokoro: Folder of Kokoro's files; None for what the environment says.
    """
    return [*PROGRAMS, Kokoro(kokoro_folder(kokoro))]


def chosen_engines(names: Sequence[str] = (), kokoro: Path | None = None) -> list[Synthesiser]:
    """Those that are to speak, ready for it.

    Args:
        names: Of `ENGINES`; none for all that are here.
        kokoro: Folder of Kokoro's files; None for what the environment says.

    Raises:
        SnnVoiceError: A name is none, or what it names is not here, or nothing is.
    """
    known = {engine.name: engine for engine in all_engines(kokoro)}
    for name in names:
        if name not in known:
            raise SnnVoiceError(f"there is no synthesiser {name!r}", hint=f"one of {', '.join(ENGINES)}")
        if not known[name].here:
            raise SnnVoiceError(f"{name} is not here", hint=_KOKORO if name == Kokoro.name else _INSTALL)
    found = [e for e in known.values() if (e.name in names if names else e.here)]
    if not found:
        raise SnnVoiceError("no speech synthesiser found", hint=_INSTALL)
    for engine in found:
        engine.prepare()
    return found
