"""Builds the packages into dist/, looks into them, and tries them where nothing else is installed.

It ends with 1 where something must not be published. Nothing is uploaded: the last lines say how, or what is
still to be done before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.places import ROOT
from tests.release import installs, versions
from tests.release.building import PYTHON, ReleaseError, build_python, pack_npm, run
from tests.release.contents import PRODUCTS, Archive, licences, opened
from tests.release.description import dead_links, repository, with_addresses

PARTS = ("lite", "web", "hub")


def _say(*words: object) -> None:
    print(*words, flush=True)


def built(out: Path) -> dict[str, Archive]:
    """All packages, new in `out`; what older runs left there is removed."""
    out.mkdir(parents=True, exist_ok=True)
    for product in PRODUCTS.values():
        for old in out.glob(product.pattern):
            old.unlink()
    address = repository()
    for name in PYTHON:
        _say(f"building {name}")
        readme = None
        if address and PYTHON[name] == ROOT:
            text = (ROOT / "README.md").read_text("utf-8")
            readme = with_addresses(text, address, f"v{versions.current()}")
        build_python(name, out, readme)
    _say("packing @snn-voice/web")
    pack_npm(out)
    found = {}
    for name, product in PRODUCTS.items():
        (path,) = out.glob(product.pattern)
        found[name] = opened(path)
    return found


def looked_into(archives: dict[str, Archive]) -> list[str]:
    """What is wrong with the packages; prints their sizes."""
    wrong = []
    for name, archive in archives.items():
        product = PRODUCTS[name]
        _say(
            f"  {archive.path.name}: {archive.megabytes:.2f} MB of {product.limit:.0f}, "
            f"{archive.unpacked:.1f} MB in {len(archive.files)} files"
        )
        wrong += [f"{archive.path.name}: {problem}" for problem in product.problems(archive)]
    for model, (weights, data) in licences(archives["hub wheel"]).items():
        _say(f"  weights of {model}: {weights}; {len(data)} sources of sound, each with its licence")
    return wrong


def hindrances(archives: dict[str, Archive]) -> Iterator[str]:
    """Why what was built is a rehearsal."""
    if reason := versions.unreleased():
        yield reason
    changed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    if changed.stdout:
        yield f"{len(changed.stdout.splitlines())} files differ from the newest commit"
    if repository() is None:
        yield "[project.urls] in pyproject.toml names no Repository: its owner knows where that is"
    for name in ("hub wheel", "lite wheel", "npm package"):
        if name in archives and (dead := dead_links(archives[name])):
            yield f"of the {name}'s description {len(dead)} links lead nowhere: {', '.join(dead[:3])}, …"


def tried(archives: dict[str, Archive], parts: list[str], place: Path, python: str) -> None:
    """Install each into an environment of its own, and type the first lines of its README there."""
    lite, hub = archives["lite wheel"].path, archives["hub wheel"].path
    if "lite" in parts:
        megabytes, seconds = installs.check_lite(lite, place / "lite", python)
        _say(f"  snn-voice-lite: {megabytes:.0f} MB installed, first answer after {seconds:.1f} s")
    if "web" in parts:
        _say("  @snn-voice/web:", installs.check_npm(archives["npm package"].path, lite, place / "web"))
    if "hub" in parts:
        _say("  snn-voice-hub:", installs.check_hub(lite, hub, place / "hub", python))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--install", nargs="*", choices=PARTS, default=list(PARTS), help="what is tried")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that they are tried with")
    given = parser.parse_args()
    try:
        version = versions.current()
        _say(f"version {version}")
        archives = built(given.out.resolve())
        if wrong := looked_into(archives):
            raise ReleaseError("\n".join(wrong))
        wheels = [archive.path for name, archive in archives.items() if name != "npm package"]
        run(sys.executable, "-m", "twine", "check", "--strict", *wheels)
        _say("  twine check: passed")
        with tempfile.TemporaryDirectory(prefix="snn-voice-release-") as place:
            tried(archives, given.install, Path(place), given.python)
    except ReleaseError as error:
        _say(f"error: {error}")
        return 1
    if left := [*hindrances(archives), *([] if set(given.install) == set(PARTS) else ["not all were tried"])]:
        _say("\n- ".join(["A rehearsal. Before it is published:", *left]))
        return 0
    names = " ".join(os.path.relpath(path) for path in wheels)
    npm = os.path.relpath(archives["npm package"].path)
    _say(f"To publish: git tag v{version}; twine upload {names}; npm publish --access public {npm}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
