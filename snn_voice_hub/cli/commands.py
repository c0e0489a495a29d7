"""Which commands there are. Each is imported when it is asked for: `--version` needs none of them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import typer
import typer.core
import typer.main

from snn_voice_hub.cli.importing import with_imports
from snn_voice_hub.errors import SnnVoiceError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# In the order of `snn-voice --help`; each is the function of that name in the module of that name.
_OWN = (
    *("classify", "listen", "spikes", "energy", "models", "teach", "record", "synthesize", "voices"),
    *("negatives", "enroll", "train", "reproduce", "evaluate", "push", "pull", "card", "convert"),
    *("export", "wyoming"),
)


class Commands(typer.core.TyperGroup):
    """The group of all commands: this package's, then those of other packages by name."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _BuiltCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        """The names; Typer's way would import all commands for them."""
        return list(self.commands)


class _BuiltCommands(Mapping[str, Any]):
    """Name -> command, which is built at the first call for it."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points

        # Other packages, the service among them, add commands; this package does not import them.
        found = {entry.name: entry for entry in entry_points(group="snn_voice_hub.commands")}
        return dict(sorted(found.items()))

    def __iter__(self) -> Iterator[str]:
        yield from _OWN
        yield from (name for name in self._entries if name not in _OWN)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            if name in _OWN:
                function = getattr(importlib.import_module(f"snn_voice_hub.cli.{name}"), name)
            else:
                function = _command_of(self._entries[name])
            alone = typer.Typer(add_completion=False)
            kind = getattr(function, "command_class", None)
            alone.command(name, cls=kind, help=_reflowed(function))(with_imports(function))
            self._built[name] = typer.main.get_command(alone)
        return self._built[name]


def _reflowed(function: Callable[..., None]) -> str:
    """What a command says of itself, a line a paragraph: a terminal is narrower than our source."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _command_of(entry: EntryPoint) -> Callable[..., None]:
    """The command of another package; one that can't be imported says so when it is called."""
    try:
        command: Callable[..., None] = entry.load()
    except ImportError as error:
        reason = str(error)

        def command() -> None:
            raise SnnVoiceError(f"the command {entry.name!r} ({entry.value}) can't be loaded: {reason}")

        command.__doc__ = f"Not available: {reason}."
    return command
