"""A path on this disk -> the files of the checkpoint that is meant, or the nearest one that can be opened."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from snn_voice_lite.visible import visible

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.choice import (
    CONFIG_FILE,
    JOB_FILE,
    LIGHTNING_SUFFIX,
    STATE_FILE,
    WEIGHTS_FILE,
    WEIGHTS_SUFFIX,
    Choice,
    choose,
    is_run_state,
)
from snn_voice_hub.hub.loading import Loading

# Files and folders that one is searched for checkpoints; "/" given by mistake has millions.
_MAX_ENTRIES = 20_000
# How far up a checkpoint is looked for that may have been meant.
_NEAR = 4


def named_path(name: str | os.PathLike[str]) -> Path:
    """The path that somebody wrote, with their `~` in full.

    Raises:
        CheckpointError: It is empty, or no file can have such a name.
    """
    text = os.fspath(name)
    if not text:
        # As a path that would be the current folder, which nobody means by a variable that is not set.
        raise CheckpointError("the name is empty", hint="the current folder is .", code="not_found")
    try:
        legal = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        legal = False
    if not legal:
        raise CheckpointError(f"{visible(repr(text))} can't be the name of a file", code="not_found")
    return Path(os.path.expanduser(text))  # noqa: PTH111  (Path raises for a ~user that does not exist)


def exists(path: Path) -> bool:
    """Whether there is something of that name; not where it is longer than names can be.

    Raises:
        CheckpointError: That may not be known.
    """
    try:
        path.stat()
    except PermissionError as error:
        raise CheckpointError(f"{path} may not be read", hint="see its permissions") from error
    except OSError:
        return False
    return True


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder has both files of a checkpoint."""
    # Not Path.is_file(): it raises where a folder may not be read.
    return os.path.isfile(folder / CONFIG_FILE) and os.path.isfile(folder / WEIGHTS_FILE)  # noqa: PTH113


def find_local(path: Path, name: str, loading: Loading) -> tuple[Path, Path | None]:
    """The files of the checkpoint that is a folder or file of this disk.

    Args:
        path: What there is.
        name: How messages name it.
        loading: How; a revision is refused: what lies on this disk has none.

    Returns:
        The file of weights, and the `config.json` beside it; None for a Lightning checkpoint.

    Raises:
        CheckpointError: No checkpoint, or several; or the state of a training run (code "run_state"). The
            hint names the nearest checkpoint where there is one.
    """
    subfolder, filename = loading.subfolder, loading.filename
    if loading.revision is not None:
        raise CheckpointError(
            f"{name} is on this disk and has no revision {loading.revision!r}",
            hint="revisions are of Hub repositories",
            code="no_revision",
        )
    _refuse_run_state(path, name)
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise CheckpointError(f"{name} may not be read", hint="see its permissions")
        walked = list(itertools.islice(_walk(path), _MAX_ENTRIES))
        files = sorted(found.relative_to(path).as_posix() for found in filter(os.path.isfile, walked))
        if len(walked) == _MAX_ENTRIES:
            # Then only what needs no search.
            inside = f"{subfolder}/" if subfolder else ""
            files = [f"{inside}{file}" for file in (CONFIG_FILE, filename or WEIGHTS_FILE)]
            if not all(os.path.isfile(path / file) for file in files):  # noqa: PTH113
                raise CheckpointError(
                    f"{name} has more than {_MAX_ENTRIES:,} files and folders",
                    hint="name the folder of the checkpoint itself",
                    code="no_checkpoint",
                )
        try:
            choice: Choice = choose(files, where=name, subfolder=subfolder, filename=filename)
        except CheckpointError as error:
            if error.code == "no_checkpoint" and not subfolder and not filename:
                raise _nearer(path, error) from error
            raise
        return path / choice.weights, path / choice.config if choice.config else None
    if subfolder is not None or filename is not None:
        raise CheckpointError(f"{name} is a file", hint="subfolder= and filename= go with a folder")
    if not path.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{name} is a device, not a file", hint="a folder or a file of a checkpoint")
    if path.suffix == LIGHTNING_SUFFIX:
        return path, None
    config = path.parent / CONFIG_FILE
    if path.suffix == WEIGHTS_SUFFIX and config.is_file():
        return path, config
    if path.suffix == WEIGHTS_SUFFIX:
        what, hint = f"there is no {CONFIG_FILE} beside {name}", "it says what the weights belong to"
    else:
        what = f"{name} is no checkpoint"
        hint = (
            f"a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or a {WEIGHTS_SUFFIX} or "
            f"{LIGHTNING_SUFFIX} file"
        )
    raise _nearer(path, CheckpointError(what, hint=hint, code="no_checkpoint"))


def _walk(folder: Path) -> Iterator[Path]:
    """What is in a folder, the near first; folders that can't be read are left out."""
    ahead = [folder]
    while ahead:
        below = []
        for inside in ahead:
            try:
                with os.scandir(inside) as entries:
                    for entry in entries:
                        yield Path(entry.path)
                        if entry.is_dir(follow_symlinks=False):
                            below.append(Path(entry.path))
            except OSError:
                continue
        ahead = below


def nearest(path: Path) -> Path | None:
    """The nearest folder above a path that is a checkpoint; None where none is near."""
    # As the path writes it, if that goes so far up.
    above = (itertools.islice(written.parents, _NEAR) for written in (path, path.absolute()))
    return next((folder for folder in itertools.chain(*above) if is_checkpoint(folder)), None)


def _nearer(path: Path, error: CheckpointError) -> CheckpointError:
    """The error, with the checkpoint that may have been meant."""
    folder = nearest(path)
    if folder is None:
        return error
    return CheckpointError(error.message, hint=f"open its folder {folder}", code=error.code)


def _refuse_run_state(path: Path, name: str) -> None:
    """Name the run whose state a file or folder is."""
    inside = path.is_dir()
    file = path.absolute() / PurePath(STATE_FILE).name if inside else path.absolute()
    run = file.parent.parent
    there = {beside for beside in (CONFIG_FILE, JOB_FILE) if (run / beside).is_file()}
    if (inside and is_checkpoint(path)) or not is_run_state(f"{file.parent.name}/{file.name}", there):
        return
    up = 1 if inside else 2
    # As the user wrote it, if that says so much.
    shown = path.parents[up - 1] if len(path.parts) > up else run
    hint = f"open {shown}" if is_checkpoint(run) else f"{shown} has a checkpoint after its first epoch"
    raise CheckpointError(
        f"{name} is the state of a training run, from which only training goes on",
        hint=hint,
        code="run_state",
    )
