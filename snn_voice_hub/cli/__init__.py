"""`snn-voice`: one small file a command. A user's mistake is one line on stderr and exit code 2."""

from __future__ import annotations

import errno
import sys
from typing import Any, NoReturn

import typer
from snn_voice_lite.containers.quiet import keep_stderr
from snn_voice_lite.shell.streams import finish_stdout, open_streams

from snn_voice_hub._version import __version__
from snn_voice_hub.cli.commands import Commands
from snn_voice_hub.cli.importing import Imports
from snn_voice_hub.cli.output import say
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.packages import name_packages

# Typer brings a copy of click, so its exceptions are not those of the package click.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="snn-voice",
    cls=Commands,
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
    imports: Imports = None,
) -> None:
    """Spoken words by spiking neural networks."""
    name_packages(imports or ())  # the command imports them, if it is not asked for its --help


def _tell(problem: str) -> NoReturn:
    say(f"snn-voice: error: {' '.join(problem.split())}", err=True)
    sys.exit(2)


def _tell_stdout(error: OSError) -> NoReturn:
    if isinstance(error, BrokenPipeError):  # `snn-voice ... | head`: the reader has what it wanted
        sys.exit(1)
    why = "it is closed" if error.errno == errno.EBADF else error.strerror or error
    _tell(f"stdout can't be written: {why}")


def main() -> None:
    """Entry point of the `snn-voice` program."""
    open_streams()
    keep_stderr()
    try:
        # Alone, Typer would tell what is wrong with the arguments in a box of several lines.
        code = app(standalone_mode=len(sys.argv) < 2)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "snn-voice"
        _tell(f"{error.format_message().rstrip('.')} (see `{command} --help`)")
    except SnnVoiceError as error:
        _tell(str(error))
    except OSError as error:
        lost = finish_stdout()
        if lost is not None or error.errno == errno.EBADF:  # nothing waits where Python does not buffer
            _tell_stdout(lost or error)
        # What no command expects of its files: a disk that is full, a folder that may not be read.
        name = f"{error.filename}: " if error.filename else ""
        _tell(f"{name}{error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if (lost := finish_stdout()) is not None:
        _tell_stdout(lost)
    sys.exit(code)
