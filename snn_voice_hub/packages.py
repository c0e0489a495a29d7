"""Packages that bring architectures of their own: which to import, and which one a class comes from.

What the user has named (`--import`, `SNN_VOICE_IMPORT`) or installed (the entry-point group) is imported.
Nothing else: a configuration says which package an architecture comes from, and that is only told.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from snn_voice_lite.visible import visible

from snn_voice_hub.config import ArchitecturePackage
from snn_voice_hub.errors import ConfigError

# `importlib.metadata` takes a tenth of the time in which the program prints its help.
if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

# The environment is what every process that is started from this one has: workers, replicas, other ranks.
VARIABLE = "SNN_VOICE_IMPORT"
GROUP = "snn_voice_hub.architectures"

_OURS = __name__.partition(".")[0]
# Classes of a program that was started as a script, and of the processes that multiprocessing starts from it.
_SCRIPTS = ("__main__", "__mp_main__")


# --- what to import -------------------------------------------------------------------------------


def named_packages() -> list[str]:
    """What `SNN_VOICE_IMPORT` names: modules and files of Python, between commas."""
    return [name for part in os.environ.get(VARIABLE, "").split(",") if (name := part.strip())]


def name_packages(names: Iterable[str]) -> None:
    """Add to `SNN_VOICE_IMPORT`, for this process and all that it starts; nothing is imported yet.

    Args:
        names: Modules such as "mynets", or files such as "nets/mynets.py"; each may be a list with commas.
    """
    parts = [part.strip() for name in names for part in name.split(",") if part.strip()]
    # Another process may have another working directory.
    found = [str(Path(part).expanduser().resolve()) if _is_file(part) else part for part in parts]
    if found:
        os.environ[VARIABLE] = ",".join(dict.fromkeys([*named_packages(), *found]))


def use_packages(names: Iterable[str] = ()) -> None:
    """Add to `SNN_VOICE_IMPORT`, and import all that it names now.

    Args:
        names: As `name_packages` takes them.

    Raises:
        ConfigError: One can't be imported; the message says which, and why.
    """
    name_packages(names)
    import_named_packages()


def import_named_packages() -> None:
    """Import what `SNN_VOICE_IMPORT` names; what has been imported already costs nothing.

    Raises:
        ConfigError: One can't be imported; the message says which, and why.
    """
    for name in named_packages():
        _import(name)


def _is_file(name: str) -> bool:
    return name.endswith(".py")


def _import(name: str) -> None:
    file = Path(name).expanduser().resolve() if _is_file(name) else None
    module = file.stem if file else name
    said = f"{name} (--import, or {VARIABLE})"
    if file is not None and not file.is_file():
        raise ConfigError(f"{said} is not there", hint="a file, or the name of a package")
    if not all(part.isidentifier() for part in ([module] if file else module.split("."))):
        raise ConfigError(f"{said} is no name of a module", hint="mynets, or its file: mynets.py")
    folder = str(file.parent if file else Path.cwd())
    # Last, so that nothing in there takes the place of an installed module.
    if folder not in sys.path and (file or not _is_found(module)):
        sys.path.append(folder)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        hint = "pip install what has it, or give the path of its file, which ends in .py" if missing else ""
        raise ConfigError(f"{said} can't be imported: {why(error)}", hint=hint) from error
    loaded = getattr(found, "__file__", None) or "itself"
    if file is not None and Path(loaded).resolve() != file:
        raise ConfigError(f"{said}: the module {module} of this Python is {loaded}", hint="another file name")


def _is_found(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.modules or find_spec(top) is not None


def why(error: BaseException) -> str:
    """What an import has failed with, in one line."""
    text = visible(" ".join(str(error).split()), 300) or "no reason given"
    return text if isinstance(error, ImportError) else f"{type(error).__name__}: {text}"


# --- what installed packages announce -------------------------------------------------------------


def announced() -> list[EntryPoint]:
    """The entry points by which installed packages say which architectures they have, by name."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def is_announced(cls: type) -> bool:
    """Whether an installed package announces this very class."""
    return any((entry.module, entry.attr) == (cls.__module__, cls.__name__) for entry in announced())


# --- where a class is from ------------------------------------------------------------------------


def package_of(cls: type) -> ArchitecturePackage | None:
    """Which package a network class comes from, for the configuration of its checkpoints.

    Returns:
        Its module, and the installed package that holds it with its version, where there is one; None for
        this library's own.
    """
    module = cls.__module__
    if module.partition(".")[0] == _OURS:
        return None
    file = getattr(sys.modules.get(module), "__file__", None)
    if module in _SCRIPTS:
        module = _script(module)
    found = _distribution(module, Path(file).resolve()) if file else None
    if found is None:
        return ArchitecturePackage(module=module)
    return ArchitecturePackage(module=module, name=found.name, version=found.version)


def _script(module: str) -> str:
    """By which name a running program can be imported; "__main__" for an interactive session."""
    main = sys.modules[module]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m mynets.train
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"


def _distribution(module: str, file: Path) -> Distribution | None:
    """The installed package that holds a module, which was loaded from that file."""
    from importlib.metadata import distribution

    top = module.partition(".")[0]
    announcing = [entry.dist for entry in announced() if entry.module.partition(".")[0] == top]
    found = [dist for dist in announcing if dist is not None]
    found += [distribution(name) for name in _import_names().get(top, ())]
    return next((dist for dist in found if _holds(dist, top, file)), None)


@cache  # it reads the list of files of everything that is installed
def _import_names() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()


def _holds(dist: Distribution, top: str, file: Path) -> bool:
    """Whether a file of the module `top` is this package's, and not one of a folder of the same name."""
    listed = [found for found in dist.files or () if found.parts[0] in (top, f"{top}.py")]
    # A package that was installed in editable mode lists none of its modules.
    return not listed or any(Path(str(dist.locate_file(found))).resolve() == file for found in listed)
