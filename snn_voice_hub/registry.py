"""Architecture name -> network class.

Known are this library's own and what has been registered in this process. Only for a name that is not among
those, what `SNN_VOICE_IMPORT` names and what installed packages announce is imported. Nothing that stands in
somebody's `config.json` is.
"""

from __future__ import annotations

import difflib
import inspect
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

from snn_voice_hub.config import LIBRARY_NAME, ArchitecturePackage, VoiceConfig
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.hub.checkpoints import Checkpoint, read_config, read_weights
from snn_voice_hub.models.architectures import import_all
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.registered import ARCHITECTURES as ARCHITECTURES
from snn_voice_hub.models.registered import register_architecture as register_architecture
from snn_voice_hub.packages import announced, import_named_packages, package_of, why

# Before anybody else can register a network: the names of our own are taken.
import_all()


def list_architectures() -> list[str]:
    """Names of all architectures that can be had, sorted; packages that bring some are imported for it.

    Raises:
        ConfigError: A package that `SNN_VOICE_IMPORT` names can't be imported.
    """
    import_named_packages()
    for entry in announced():
        _load(entry)
    return sorted(ARCHITECTURES)


def find_architecture(name: str) -> type[Network] | None:
    """The class of that name; None where there is none, or none that can be imported.

    Raises:
        ConfigError: A package that `SNN_VOICE_IMPORT` names can't be imported.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    import_named_packages()
    # A package may announce itself under the name of a network, or once under any name for all it has.
    for entry in sorted(announced(), key=lambda entry: entry.name != name):
        if name in ARCHITECTURES:
            break
        _load(entry)
    return ARCHITECTURES.get(name)


def get_architecture(name: str, package: ArchitecturePackage | None = None) -> type[Network]:
    """The class of that name.

    Args:
        name: Of the class.
        package: Where it comes from, as far as that is known; it is not imported.

    Raises:
        ConfigError: No such architecture, or one of another package. The message names the package and how to
            get it, or the nearest name.
    """
    found = find_architecture(name)
    if found is None:
        raise _unknown(name, package)
    own = package_of(found)
    if package is not None and not _same(package, own):
        here = own or LIBRARY_NAME
        raise ConfigError(
            f"the architecture {name} of {package} is wanted, and the one known here is of {here}",
            hint="one process knows one architecture of a name: leave out the other package",
        )
    return found


def build_network(config: VoiceConfig) -> Network:
    """The network that a configuration describes, with fresh weights.

    Raises:
        ConfigError: The architecture or one of its arguments is not legal.
    """
    package = config.architecture_package
    cls = get_architecture(config.architecture, package)
    try:
        return cls.from_config(config)
    except ConfigError as error:
        here = package_of(cls)
        if package is None or here is None or here.version == package.version:
            raise
        hint = "; ".join(filter(None, [error.hint, f"it was saved with {package}, and here is {here}"]))
        raise ConfigError(error.message, hint=hint) from error


def _load(entry: EntryPoint) -> str:
    """Import what a package announces, a network class or a module that registers some; why not, or ""."""
    try:
        found = entry.load()
        if inspect.isclass(found):
            register_architecture(cast(type[Network], found))
        elif not inspect.ismodule(found):
            return "it is neither a class nor a module"
    except (Exception, SystemExit) as error:  # whatever it is, the architectures of others are still there
        return why(error)
    return ""


def _unknown(name: str, package: ArchitecturePackage | None) -> ConfigError:
    what = f"architecture {name!r} is not known"
    broken = [
        f"the entry point {entry.name} = {entry.value} can't be loaded: {reason}"
        for entry in announced()
        if _concerns(entry, name, package) and (reason := _load(entry))
    ]
    if broken:
        what += f"; {'; '.join(broken)}"
    elif package is not None:
        return ConfigError(f"{what}: it is of {package}", hint=_how_to_get(package))
    if near := difflib.get_close_matches(name, ARCHITECTURES, n=1):
        return ConfigError(what, hint=f"did you mean {near[0]!r}?")
    if broken:
        return ConfigError(what, hint="mend or reinstall that package")
    there = ", ".join(sorted(ARCHITECTURES))
    return ConfigError(what, hint=f"one of {there}; your own by --import PACKAGE, or by import in Python")


def _concerns(entry: EntryPoint, name: str, package: ArchitecturePackage | None) -> bool:
    """Whether an entry point may be what an architecture was to come from."""
    return entry.name == name or package is None or _top(entry.module) == _top(package.module)


def _how_to_get(package: ArchitecturePackage) -> str:
    if package.module == "__main__":
        return "it was defined in an interactive session: put it into a file, and --import that file"
    by_hand = f"--import {package.module}, in Python: import {package.module}"
    if package.name is None:
        return f"with the file that defines it at hand: {by_hand}"
    return f"if you trust its makers: pip install {package.requirement}, or {by_hand}"


def _top(module: str) -> str:
    return module.partition(".")[0]


def _same(package: ArchitecturePackage, own: ArchitecturePackage | None) -> bool:
    """Whether what a checkpoint wants may be what is here; of modules in no package nobody can tell."""
    if own is None:
        return False
    return None in (package.name, own.name) or _canonical(str(package.name)) == _canonical(str(own.name))


def _canonical(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def describe_network(config: VoiceConfig) -> Network:
    """The network that a configuration describes, for its names and shapes: there are no values.

    Raises:
        ConfigError: The architecture or one of its arguments is not legal.
    """
    return get_architecture(config.architecture, config.architecture_package).describe(config)


def check_checkpoint(checkpoint: Checkpoint | Path) -> VoiceConfig:
    """Read a checkpoint as loading does, and keep nothing but its configuration.

    Args:
        checkpoint: The checkpoint, or its folder.

    Raises:
        CheckpointError: It could not be loaded: a file is missing or is something else, or the weights are
            not those of the network, or not finite.
        ConfigError: The configuration is not legal.
    """
    config = read_config(checkpoint)
    read_weights(checkpoint, describe_network(config).state_dict())
    return config
