"""What the project's own texts name in backticks: files and parts of its modules."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.house.architecture import PACKAGES, module_files
from tests.places import ROOT

_QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PATH = re.compile(r"([\w-][\w.-]*/)*[\w-][\w.-]*(/|\.(py|md|cpp|toml|html|css|js))")
_DOTTED = re.compile(r"[a-z_]\w*(\.\w+)+")
_DATA = (".json", ".csv", ".npz", ".png", ".yaml")
# What is called as a module is, variables, fields, groups of entry points; and files of others.
_OTHERS = re.compile(
    r"config\.(sample_rate|num_samples)|metrics\.test|app\.state\..*|snn_voice_hub\.(commands|architectures)"
    r"|state/|logs/|\w+\.[ch]|folder/name\.md|kokoro\.onnx|huggingface/huggingface\.js|.*NAME.*"
)


@cache
def tracked() -> tuple[str, ...]:
    """The project's files; those that are not committed yet are among them."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    return tuple(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def text_of(path: Path) -> str:
    """What a file says to its readers: a document without its blocks; of a program all, messages included."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return source
    return re.sub(r"^```.*?^```", "", source, flags=re.MULTILINE | re.DOTALL)


def named(text: str) -> Iterator[str]:
    """The words in backticks, without the brackets of a call."""
    for quoted in _QUOTED.findall(text):
        yield from (word.removesuffix("()") for word in quoted.split())


def missing_file(name: str) -> bool:
    """Whether a text names a file of the project that is not there."""
    if not _PATH.fullmatch(name) or _OTHERS.fullmatch(name):
        return False
    return name not in _ends_of_paths()


@cache
def _ends_of_paths() -> frozenset[str]:
    """How the project's files and folders can be called, from any folder above them on."""
    found: set[str] = set()
    for file in tracked():
        parts = file.split("/")
        for end in range(1, len(parts) + 1):
            slash = "/" if end < len(parts) else ""
            found.update("/".join(parts[begin:end]) + slash for begin in range(end))
    return frozenset(found)


@cache
def modules() -> dict[str, Path]:
    """Module -> file, of the packages and of the benchmarks."""
    others = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in (ROOT / "benchmarks").rglob("*.py")
    }
    return {**module_files(), **others}


def missing_part(name: str, module: str) -> bool:
    """Whether a text names a part of the project's modules that is not there.

    Args:
        name: What it says, for example "models.lif.lif_step". Other things than modules have dots too: what
            begins with no module of the project is taken for one of those.
        module: Where it stands, for its own folder is looked into as well; "" for a document.
    """
    if (
        not _DOTTED.fullmatch(name)
        or name.endswith(_DATA)
        or _PATH.fullmatch(name)
        or _OTHERS.fullmatch(name)
    ):
        return False
    above = module.split(".")[:-1]
    folders = {".".join(above[: i + 1]) for i in range(len(above))} | {*PACKAGES, ""}
    first = name.partition(".")[0]
    homes = [folder for folder in folders if _join(folder, first) in modules()]
    return bool(homes) and not any(_is_there(folder, name) for folder in homes)


def _join(folder: str, name: str) -> str:
    return f"{folder}.{name}" if folder else name


def _is_there(folder: str, name: str) -> bool:
    home, parts = folder, name.split(".")
    while parts and _join(home, parts[0]) in modules():
        home = _join(home, parts.pop(0))
    return not parts or parts[0] in _names_in(modules()[home])


@cache
def _names_in(path: Path) -> frozenset[str]:
    """What a module defines or imports, at its top."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return frozenset(found)
