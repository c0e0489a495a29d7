"""A path on this disk -> the files of the checkpoint that is meant, or the nearest one that can be opened."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePath

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

# Files that a folder is searched for checkpoints; "/" given by mistake has millions.
_MAX_FILES = 20_000
# How far up a checkpoint is looked for that may have been meant.
_NEAR = 4


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder has both files of a checkpoint."""
    return (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def find_local(
    path: Path,
    name: str,
    *,
    revision: str | None = None,
    subfolder: str | None = None,
    filename: str | None = None,
) -> tuple[Path, Path | None]:
    """The files of the checkpoint that is a folder or file of this disk.

    Args:
        path: What there is.
        name: How messages name it.
        revision: Refused: what lies on this disk has none.
        subfolder: Folder inside it.
        filename: File of weights inside it.

    Returns:
        The file of weights, and the `config.json` beside it; None for a Lightning checkpoint.

    Raises:
        CheckpointError: No checkpoint, or several; or the state of a training run (code "run_state"). The
            hint names the nearest checkpoint where there is one.
    """
    if revision is not None:
        raise CheckpointError(
            f"{name} is on this disk and has no revision {revision!r}",
            hint="revisions are of Hub repositories",
            code="no_revision",
        )
    _refuse_run_state(path, name)
    if path.is_dir():
        walk = itertools.islice((found for found in path.rglob("*") if found.is_file()), _MAX_FILES)
        files = sorted(found.relative_to(path).as_posix() for found in walk)
        try:
            choice: Choice = choose(files, where=name, subfolder=subfolder, filename=filename)
        except CheckpointError as error:
            if error.code == "no_checkpoint" and not subfolder and not filename:
                raise _nearer(path, error) from error
            raise
        return path / choice.weights, path / choice.config if choice.config else None
    if subfolder is not None or filename is not None:
        raise CheckpointError(f"{name} is a file", hint="subfolder= and filename= go with a folder")
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
