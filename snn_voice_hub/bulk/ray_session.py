"""Ray, started or joined, kept quiet, and its errors in one line."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from snn_voice_lite.visible import module_logger

from snn_voice_hub.errors import SnnVoiceError, needs_extra

logger = module_logger(__name__)

# Ray keeps clips' names and rows in memory that its processes share; this is plenty for what waits there.
_SHARED_MEMORY = 512 << 20
_CONNECT_SECONDS = 5.0

_LOOK_SECONDS = 2.0


def import_ray(*, alone: bool = True) -> Any:
    """Ray and Ray Data.

    Args:
        alone: They will start Ray on this machine, so nobody else has to know its token.

    Returns:
        The module `ray`.

    Raises:
        MissingExtraError: They are not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    if alone and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        # Ray reads this once, when it is imported; releases that know no tokens leave it alone.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with needs_extra("--ray", "ray", "Ray Data", ("ray", "pyarrow", "pandas")):
        import ray
        import ray.data
    return ray


@contextmanager
def ray_session(address: str | None, cpus: int, shared: int) -> Iterator[tuple[Any, TextIO]]:
    """Ray for the time of a run.

    Args:
        address: An existing cluster's; None to start Ray on this machine alone.
        cpus: How many workers may run on this machine, where Ray is started.
        shared: Bytes that all workers will be given.

    Yields:
        The module `ray`, and stderr: meanwhile nothing else gets there.

    Raises:
        SnnVoiceError: It can't be started or reached, or it has failed; one line.
    """
    ray = import_ray(alone=address is None)
    options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address is None:
        # Ray listens on about a dozen ports, and who reaches them can run programs. Under this address other
        # machines do not, and other users of this one lack the token (see `import_ray`).
        options |= {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
        options |= {"num_cpus": cpus, "object_store_memory": _SHARED_MEMORY + 2 * shared}
    else:
        _knock(address)
        options["address"] = address
    with _silence() as terminal:
        try:
            try:
                ray.init(**options)
            except (OSError, RuntimeError, ValueError) as error:
                what = f"Ray can't be reached at {address}" if address else "Ray can't be started"
                raise SnnVoiceError(what, hint=_reason(error)) from error
            logging.getLogger("ray.data").setLevel(logging.CRITICAL)
            with _watched(ray):
                yield ray, terminal
        except SnnVoiceError:
            raise
        except Exception as error:  # of Ray's own kinds, or of any that Ray passes on
            logger.debug("Ray has failed", exc_info=True)
            raise SnnVoiceError("Ray has failed", hint=_reason(error)) from error
        finally:
            ray.shutdown()


@contextmanager
def _silence() -> Iterator[TextIO]:
    """Nothing of Ray on the terminal, also not from its parts in C++, which write to the descriptor.

    Its log files, in `/tmp/ray`, have it all.
    """
    with contextlib.ExitStack() as stack:
        nothing = stack.enter_context(Path(os.devnull).open("w"))
        try:
            kept = os.dup(2)
        except OSError:  # a program without a console
            yield nothing
            return
        terminal = stack.enter_context(os.fdopen(kept, "w"))
        sys.stderr.flush()
        os.dup2(nothing.fileno(), 2)
        stack.callback(os.dup2, kept, 2)
        stack.enter_context(contextlib.redirect_stderr(nothing))
        stack.enter_context(contextlib.redirect_stdout(nothing))
        yield terminal


@contextmanager
def _watched(ray: Any) -> Iterator[None]:
    """End the run by SIGTERM as by Ctrl-C, and where a process that Ray has started here has died.

    A batch system sends SIGTERM, and what has come shall be written; Ray's own handler, which this replaces,
    would leave at once. After a death of its processes Ray would end ours some time later, silently.

    Raises:
        SnnVoiceError: One has died.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main:
        yield
        return
    over, lost = threading.Event(), threading.Event()
    # Not public, and `ray.nodes()` takes longer to see it than Ray to end this process.
    started = getattr(getattr(ray._private, "worker", None), "_global_node", None)
    dead_processes = getattr(started, "dead_processes", list)

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            if dead_processes():
                lost.set()
                signal.pthread_kill(main.ident, signal.SIGTERM)  # type: ignore[arg-type]  # it has begun
                return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=look, name="snn-voice-ray", daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if lost.is_set():
            hint = "out of memory? the rows so far are kept, and the same command goes on"
            raise SnnVoiceError("Ray has died", hint=hint) from None
        raise
    finally:
        over.set()
        signal.signal(signal.SIGTERM, before)


def _knock(address: str) -> None:
    """See that somebody answers at `host:port`: Ray would try for a minute, and then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # "auto", which Ray looks up on this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        hint = "the address that `ray start --head` prints, for example 10.0.0.5:6379"
        raise SnnVoiceError(f"no Ray cluster answers at {address}", hint=hint) from error


def _reason(error: BaseException) -> str:
    """What happened, out of chains of errors and texts that hold tracebacks: what came first says it best."""
    text = str(error)
    step = error.__cause__
    while step is not None:
        text = str(step) or text
        step = step.__cause__
    found = re.search(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception)\b.*)", text, re.MULTILINE)
    line = found.group(1) if found else " ".join(text.split()) or type(error).__name__
    return line if len(line) < 300 else f"{line[:300]}..."
