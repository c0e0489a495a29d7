"""`snn-voice` within this process: another one takes seconds to begin."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from snn_voice_hub.cli import app
from snn_voice_hub.errors import SnnVoiceError


def invoke(*arguments: str, stdin: bytes = b"") -> Result:
    """A command that succeeds."""
    done = _invoke(*arguments, stdin=stdin)
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def partly(*arguments: str, stdin: bytes = b"") -> Result:
    """A command that answers, but not all that was asked."""
    done = _invoke(*arguments, stdin=stdin)
    assert done.exit_code == 2, (done.output, done.exception)
    assert isinstance(done.exception, SystemExit)
    return done


def refused(*arguments: str) -> str:
    """The error of a command that prints nothing else; `main` prints it as one line, and exits with 2."""
    done = _invoke(*arguments)
    assert done.stdout == ""
    return _error(done)


def in_vain(*arguments: str) -> str:
    """The error of a command that has told how far it came."""
    done = _invoke(*arguments)
    assert done.stdout
    return _error(done)


def _error(done: Result) -> str:
    assert isinstance(done.exception, SnnVoiceError), (done.output, done.exception)
    return str(done.exception)


def _invoke(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"}).invoke(app, list(arguments), input=stdin)
