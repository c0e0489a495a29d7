"""How this package is installed: from a clone, since it is not on PyPI yet. Said here for all hints."""

from __future__ import annotations

UPGRADE = "in an up-to-date clone of snn-voice-hub: pip install --upgrade ./lite ."

# What stands above the line that names this package in a file of requirements.
REQUIREMENT_NOTE = (
    "# Not on PyPI yet: name a wheel or a repository, as in snn-voice-hub @ https://..., "
    "and the same of snn-voice-lite"
)


def command(extra: str) -> str:
    """What installs the package with an extra, said in a clone of it."""
    return f'pip install ./lite ".[{extra}]"'


def extra_hint(extra: str) -> str:
    """What to do where an extra is missing."""
    return f"the extra snn-voice-hub[{extra}]; in a clone: {command(extra)}"
