"""`snn-voice`: one small file a command. A user's mistake is one line on stderr and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import typer

from snn_voice_hub._version import __version__
from snn_voice_hub.cli.card import card
from snn_voice_hub.cli.classify import classify
from snn_voice_hub.cli.convert import convert
from snn_voice_hub.cli.energy import energy
from snn_voice_hub.cli.evaluate import evaluate
from snn_voice_hub.cli.export import export
from snn_voice_hub.cli.models import models
from snn_voice_hub.cli.output import say
from snn_voice_hub.cli.pull import pull
from snn_voice_hub.cli.push import push
from snn_voice_hub.cli.reproduce import reproduce
from snn_voice_hub.cli.spikes import spikes
from snn_voice_hub.cli.train import train
from snn_voice_hub.errors import SnnVoiceError

# Typer brings a copy of click, so its exceptions are not those of the package click.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="snn-voice",
    help="Spoken words by spiking neural networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"snn-voice {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Spoken words by spiking neural networks."""


for _command in (
    classify,
    spikes,
    energy,
    models,
    train,
    reproduce,
    evaluate,
    push,
    pull,
    card,
    convert,
    export,
):
    app.command()(_command)


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


# Other packages, the service among them, add commands; this package does not import them.
for _entry in sorted(entry_points(group="snn_voice_hub.commands"), key=lambda entry: entry.name):
    _command = _command_of(_entry)
    app.command(_entry.name, context_settings=getattr(_command, "context_settings", None))(_command)


def _tell(problem: str) -> NoReturn:
    say(f"snn-voice: error: {' '.join(problem.split())}", err=True)
    sys.exit(2)


def main() -> None:
    """Entry point of the `snn-voice` program."""
    try:
        # Alone, Typer would tell what is wrong with the arguments in a box of several lines.
        sys.exit(app(standalone_mode=len(sys.argv) < 2))
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "snn-voice"
        _tell(f"{error.format_message().rstrip('.')} (see `{command} --help`)")
    except SnnVoiceError as error:
        _tell(str(error))
    except BrokenPipeError:
        # `snn-voice ... | head`: the reader has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        # What no command expects of its files: a disk that is full, a folder that may not be read.
        name = f"{error.filename}: " if error.filename else ""
        _tell(f"{name}{error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)
