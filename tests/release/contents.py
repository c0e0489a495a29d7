"""What must be in a package, and what must not."""

from __future__ import annotations

import email
import json
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from tests.places import ROOT

# Nobody who installs a package runs these.
_OF_DEVELOPERS = {"tests", "test", "benchmarks", "examples", "__pycache__", "node_modules", ".venv", "runs"}
_NEVER = re.compile(
    r"\.(pyc|ckpt|pt|pth|wav|log|env|pem|key)$|(^|/)(conftest|test_\w+)\.py$|(^|/)\.env|api-keys$"
)
# Of a source distribution: made by the builder.
_MADE = {"PKG-INFO", ".gitignore"}
# npm adds to the first; of the second the links lead elsewhere.
_CHANGED = {"package.json", "README.md"}
# Weights are published under one of these, and so is what they learned from said.
_OUR_LICENCES = {"MIT"}


@dataclass(frozen=True)
class Archive:
    """A built package.

    Attributes:
        path: Where it lies.
        files: Name -> content, without the folder that all of a tar archive is in.
    """

    path: Path
    files: dict[str, bytes]

    @property
    def megabytes(self) -> float:
        """Its size on the disk."""
        return self.path.stat().st_size / 1e6

    @property
    def unpacked(self) -> float:
        """Megabytes of its files."""
        return sum(map(len, self.files.values())) / 1e6

    def own(self) -> dict[str, bytes]:
        """What is not said about the package, but is it."""
        return {name: data for name, data in self.files.items() if ".dist-info/" not in name}

    def about(self, name: str) -> bytes:
        """A file of a wheel's `dist-info`; empty where there is none."""
        return next((d for n, d in self.files.items() if n.endswith(f".dist-info/{name}")), b"")


def opened(path: Path) -> Archive:
    """A wheel, a source distribution or an npm package, read."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as found:
            return Archive(path, {n: found.read(n) for n in found.namelist() if not n.endswith("/")})
    with tarfile.open(path) as packed:
        files = {}
        for member in packed:
            if member.isfile() and (data := packed.extractfile(member)) is not None:
                files[member.name.partition("/")[2]] = data.read()
        return Archive(path, files)


@cache
def tracked(folder: Path) -> frozenset[str]:
    """What git holds below a folder, by the names that it has there."""
    done = subprocess.run(["git", "ls-files"], cwd=folder, capture_output=True, text=True, check=True)
    return frozenset(done.stdout.splitlines())


@dataclass(frozen=True)
class Product:
    """What a package has to be.

    Attributes:
        pattern: How its file is called.
        limit: Megabytes at most.
        why: Who sets the limit.
        sources: Where its files come from: name at the beginning -> folder of the clone.
        needs: Files that must be in it.
        more: Other things that can be wrong with it.
        whole: Whether all that git holds there must be in it.
    """

    pattern: str
    limit: float
    why: str
    sources: dict[str, Path]
    needs: tuple[str, ...]
    more: Callable[[Archive], Iterator[str]]
    whole: bool = True

    def problems(self, archive: Archive, *, compare: bool = True) -> list[str]:
        """All that is wrong; nothing where it may be published.

        Args:
            archive: The package.
            compare: Also look at git, file by file.
        """
        found = list(self._of_names(archive))
        if archive.megabytes > self.limit:
            found.append(f"it has {archive.megabytes:.1f} MB; at most {self.limit:.0f} ({self.why})")
        if compare:
            found += self._beside_git(archive)
        return found + list(self.more(archive))

    def _of_names(self, archive: Archive) -> Iterator[str]:
        for need in self.needs:
            if need not in archive.files:
                yield f"it lacks {need}"
        installed = not self.pattern.endswith(".tar.gz")
        for name in archive.files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                yield f"{name} would be written elsewhere"
            if installed and (_OF_DEVELOPERS & set(PurePosixPath(name).parts) or _NEVER.search(name)):
                yield f"{name} is not for who installs it"

    def _beside_git(self, archive: Archive) -> Iterator[str]:
        expected = {
            f"{begin}{name}": folder / name
            for begin, folder in self.sources.items()
            for name in tracked(folder)
        }
        for name, data in archive.own().items():
            if name not in expected:
                if name not in _MADE:
                    yield f"{name} is not in git"
            elif name not in _CHANGED and data != expected[name].read_bytes():
                yield f"{name} is not what the clone has"
        if self.whole:
            yield from (f"{name} is missing" for name in sorted(expected.keys() - archive.files.keys()))


def metadata_problems(archive: Archive) -> Iterator[str]:
    """What is wrong with what a wheel says about itself."""
    said = email.message_from_bytes(archive.about("METADATA"))
    if said["License-Expression"] != "MIT":
        yield f"its licence is {said['License-Expression']}"
    if archive.about("licenses/LICENSE") != (ROOT / "LICENSE").read_bytes():
        yield "it does not bring the text of its licence"
    for name in ("Requires-Python", "Summary", "Description-Content-Type"):
        if not said[name]:
            yield f"it says no {name}"
    if not said.get_all("Project-URL"):
        yield "it names no address of the project"
    if not any("Typed" in line for line in said.get_all("Classifier") or ()):
        yield "it does not say that it is typed"


def licences(archive: Archive) -> dict[str, tuple[str, list[str]]]:
    """Bundled checkpoints: name -> licence of the weights, and of the sound that they learned from."""
    found = {}
    for name, data in archive.files.items():
        if match := re.fullmatch(r"snn_voice_hub/weights/(.+)/config\.json", name):
            config = json.loads(data)
            found[match[1]] = (config["license"], [str(entry.get("license", "")) for entry in config["data"]])
    return found


def _of_hub(archive: Archive) -> Iterator[str]:
    yield from metadata_problems(archive)
    for name, (weights, data) in licences(archive).items():
        if weights not in _OUR_LICENCES:
            yield f"the licence of {name} is {weights or 'not said'}"
        if not data or not all(data):
            yield f"{name} does not say under which licence its training sound came"
        if f"snn_voice_hub/weights/{name}/model.safetensors" not in archive.files:
            yield f"{name} has no weights"
    version = archive.path.name.split("-")[1]
    requires = email.message_from_bytes(archive.about("METADATA")).get_all("Requires-Dist") or []
    if f"snn-voice-lite=={version}" not in requires:
        yield f"it does not ask for snn-voice-lite=={version}"


def _of_npm(archive: Archive) -> Iterator[str]:
    if archive.files.get("LICENSE") != (ROOT / "LICENSE").read_bytes():
        yield "it does not bring the text of its licence"
    if json.loads(archive.files.get("package.json", b"{}")).get("license") != "MIT":
        yield "its licence is not MIT"


def _of_sdist(archive: Archive) -> Iterator[str]:
    if archive.files.get("LICENSE") != (ROOT / "LICENSE").read_bytes():
        yield "it does not bring the text of its licence"


_PYPI = "PyPI's limit for a file"
_HUB_PACKAGES = {
    "snn_voice_hub/": ROOT / "snn_voice_hub",
    "snn_voice_server/": ROOT / "server" / "snn_voice_server",
    "snn_hub_sandbox/": ROOT / "server" / "snn_hub_sandbox",
}
PRODUCTS = {
    "lite wheel": Product(
        "snn_voice_lite-*.whl",
        10,
        "a wheel that a Raspberry Pi fetches",
        {"snn_voice_lite/": ROOT / "lite" / "snn_voice_lite"},
        (
            "snn_voice_lite/py.typed",
            "snn_voice_lite/models/resmel-snn.onnx",
            "snn_voice_lite/models/tempo-snn.onnx",
        ),
        metadata_problems,
    ),
    "lite source": Product(
        "snn_voice_lite-*.tar.gz",
        10,
        "as the wheel",
        {"": ROOT / "lite"},
        ("snn_voice_lite/models/resmel-snn.onnx", "pyproject.toml"),
        _of_sdist,
    ),
    "hub wheel": Product(
        "snn_voice_hub-*.whl",
        100,
        _PYPI,
        _HUB_PACKAGES,
        (
            "snn_voice_hub/py.typed",
            "snn_voice_server/py.typed",
            "snn_voice_hub/weights/resmel-snn/model.safetensors",
            "snn_voice_hub/native/events.cpp",
            "snn_voice_server/web/page/index.html",
        ),
        _of_hub,
    ),
    "hub source": Product(
        "snn_voice_hub-*.tar.gz",
        100,
        _PYPI,
        {"": ROOT},
        ("tests/release/contents.py", "Makefile", "lite/pyproject.toml", "web/package.json"),
        _of_sdist,
        whole=False,  # tests/house/test_source_distribution.py says what stays in the clone
    ),
    "npm package": Product(
        "snn-voice-web-*.tgz",
        1,
        "a page that loads at once",
        {"": ROOT / "web"},
        ("src/index.js", "types/index.d.ts", "bin/fill.js", "README.md"),
        _of_npm,
        whole=False,  # `files` in its package.json does; tests/web_package compares
    ),
}
