"""The version stands in several files, since each is read by another tool; here they are held together.

`python -m tests.release.versions 1.0.0` writes another one into all of them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tests.places import ROOT
from tests.release.building import ReleaseError

_PYTHON = r'^__version__ = "(.+)"$'
_NPM = r'"name": "@snn-voice/web",\n\s*"version": "(.+)"'
# File -> what stands around the version, wherever it occurs in it.
PLACES = {
    "snn_voice_hub/_version.py": _PYTHON,
    "lite/snn_voice_lite/_version.py": _PYTHON,
    "pyproject.toml": r'"snn-voice-lite==([^"]+)"',
    "web/package.json": _NPM,
    "web/package-lock.json": _NPM,
    "CITATION.cff": r"^version: (.+)$",
}
_HEADING = re.compile(r"^## \[(.+?)\](?: - (.+))?$", re.MULTILINE)
_LEGAL = re.compile(r"\d+\.\d+\.\d+")  # pip and npm spell others differently


def found(root: Path = ROOT) -> dict[str, list[str]]:
    """The versions that each file names."""
    return {
        name: [match[1] for match in re.finditer(pattern, (root / name).read_text("utf-8"), re.MULTILINE)]
        for name, pattern in PLACES.items()
    }


def current(root: Path = ROOT) -> str:
    """The one version.

    Raises:
        ReleaseError: There is none, or a file names another.
    """
    told = found(root)
    versions = {version for named in told.values() for version in named}
    if len(versions) != 1 or not all(told.values()):
        raise ReleaseError(
            ", ".join(f"{name}: {' and '.join(named) or 'none'}" for name, named in told.items())
        )
    return versions.pop()


def write(version: str, root: Path = ROOT) -> None:
    """Another version, in every file.

    Raises:
        ValueError: It is not one like 1.0.0.
    """
    if not _LEGAL.fullmatch(version):
        raise ValueError(f"a version is like 1.0.0, not {version!r}")
    for name, pattern in PLACES.items():
        text = (root / name).read_text("utf-8")

        def renamed(match: re.Match[str]) -> str:
            begin, end = match.span(1)
            return match[0][: begin - match.start()] + version + match[0][end - match.start() :]

        (root / name).write_text(re.sub(pattern, renamed, text, flags=re.MULTILINE), "utf-8")


def unreleased(root: Path = ROOT) -> str:
    """Why the change log's topmost section is not that of a release; "" where it is."""
    heading = _HEADING.search((root / "CHANGELOG.md").read_text("utf-8"))
    version, date = heading.groups() if heading else ("", None)
    if version != current(root):
        return f"CHANGELOG.md begins with [{version}], and the version is {current(root)}"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date or ""):
        return f"CHANGELOG.md names no date at [{version}]"
    return ""


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version")
    given = parser.parse_args()
    try:
        write(given.version)
    except ValueError as error:
        parser.error(str(error))
    print(f"{current()} stands in {', '.join(PLACES)}; {unreleased() or 'CHANGELOG.md has it'}")


if __name__ == "__main__":
    main()
