"""Which files of a repository or folder make up the checkpoint that was asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from snn_voice_lite.visible import module_logger

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.notation import some

logger = module_logger(__name__)

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
WEIGHTS_SUFFIX = ".safetensors"
LIGHTNING_SUFFIX = ".ckpt"
# In the folder of a training run: what it is to do, and what it goes on from.
JOB_FILE = "job.json"
STATE_FILE = "state/last.ckpt"

# Repositories that hold several checkpoints and say in their card which one is meant: the paper's own is the
# Piczak SNN, 15 steps, beta fixed. Each pattern is looked for in the file's path.
_KNOWN: dict[str, tuple[str, ...]] = {
    "eve-ning/snn_voice": (r"piczak", r"piczak_?snn", r"n_steps=15(?!\d)", r"learn_beta=false"),
}
_SHOWN = 6


@dataclass(frozen=True)
class Choice:
    """The files of one checkpoint, as paths relative to their repository or folder.

    Attributes:
        weights: A `.safetensors` file, or a Lightning `.ckpt`.
        config: The `config.json` beside the former; None for the latter, which needs none.
    """

    weights: str
    config: str | None

    @property
    def files(self) -> tuple[str, ...]:
        """The files, the smaller first."""
        return (self.weights,) if self.config is None else (self.config, self.weights)


def choose(
    files: Iterable[str],
    *,
    where: str,
    repo_id: str = "",
    subfolder: str | None = None,
    filename: str | None = None,
    foreign: str = "",
) -> Choice:
    """Pick one checkpoint out of a listing.

    Args:
        files: Paths of all files, with "/" between folders.
        where: How messages name the repository or folder.
        repo_id: Its id, where it is a repository of the Hub.
        subfolder: Look in this folder only.
        filename: Take this file; relative to `subfolder`.
        foreign: Library that the repository says it belongs to, where that is not this one.

    Returns:
        The files.

    Raises:
        CheckpointError: No checkpoint there (code "no_checkpoint"), or several (code
            "several_checkpoints"); the message lists what there is.
    """
    prefix = _folder(subfolder, "subfolder")
    listing = [name for name in files if name.startswith(prefix)]
    if subfolder and not listing:
        raise CheckpointError(f"{where} has no folder {subfolder!r}", code="no_checkpoint")
    if filename is not None:
        return _named(listing, prefix, filename, where)
    if {prefix + CONFIG_FILE, prefix + WEIGHTS_FILE} <= set(listing):
        return Choice(prefix + WEIGHTS_FILE, prefix + CONFIG_FILE)
    found = _checkpoints(listing)
    if len(found) == 1:
        return found[0]
    if found and repo_id.lower() in _KNOWN and not subfolder:
        return _known(found, _KNOWN[repo_id.lower()], where)
    if found:
        weights = [choice.weights for choice in found]
        # The path of a file is taken wherever a folder is, by commands too, which have no filename=.
        each = _calls(weights) if repo_id else some([f"{where}/{path}" for path in weights], _SHOWN)
        raise CheckpointError(
            f"{where} holds {len(found)} checkpoints",
            hint=f"choose one: {each}",
            code="several_checkpoints",
        )
    what = f"{where} holds no checkpoint of this library"
    if foreign:
        raise CheckpointError(
            f"{what}: it is one of {foreign}", hint=f"load it with {foreign}", code="wrong_library"
        )
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if prefix + name not in listing]
    if len(missing) == 1:
        raise CheckpointError(
            f"{where} has no {prefix}{missing[0]}",
            hint=f"a checkpoint folder holds {CONFIG_FILE} and {WEIGHTS_FILE}",
            code="no_checkpoint",
        )
    raise CheckpointError(
        what,
        hint=f"wanted: {CONFIG_FILE} and {WEIGHTS_FILE}, or a Lightning {LIGHTNING_SUFFIX}; "
        f"there is {some([name.removeprefix(prefix) for name in listing], _SHOWN)}",
        code="no_checkpoint",
    )


def _folder(subfolder: str | None, name: str) -> str:
    """A folder as a prefix of paths, "" for the root."""
    parts = PurePosixPath((subfolder or "").replace("\\", "/")).parts
    if ".." in parts or parts[:1] == ("/",):
        raise CheckpointError(f"{name}={subfolder!r} is not legal", hint="a path inside the repository")
    return "".join(f"{part}/" for part in parts)


def _named(listing: Sequence[str], prefix: str, filename: str, where: str) -> Choice:
    path = prefix + _folder(filename, "filename").rstrip("/")
    if is_run_state(path, set(listing)):
        raise CheckpointError(
            f"{path!r} is the state of a training run, from which only training goes on",
            hint=f"leave out filename=, or take a {WEIGHTS_SUFFIX} file",
            code="run_state",
        )
    if path not in listing:
        there = [choice.weights.removeprefix(prefix) for choice in _checkpoints(listing)]
        raise CheckpointError(
            f"{where} has no file {path!r}",
            hint=f"its checkpoints: {some(there, _SHOWN)}" if there else f"there is {some(listing, _SHOWN)}",
            code="no_checkpoint",
        )
    if path.endswith(LIGHTNING_SUFFIX):
        return Choice(path, None)
    if not path.endswith(WEIGHTS_SUFFIX):
        raise CheckpointError(
            f"{path!r} is no file of weights",
            hint=f"a {WEIGHTS_SUFFIX} or {LIGHTNING_SUFFIX} file",
            code="no_checkpoint",
        )
    config = (PurePosixPath(path).parent / CONFIG_FILE).as_posix()
    if config not in listing:
        raise CheckpointError(
            f"{where}: there is no {CONFIG_FILE} beside {path}",
            hint="it says what the weights belong to",
            code="no_checkpoint",
        )
    return Choice(path, config)


def is_run_state(path: str, there: Collection[str]) -> bool:
    """Whether a file is what a training run goes on from, which has another content than checkpoints.

    Args:
        path: Of the file; its last two parts matter.
        there: Files that there are, as `path` or relative to the run's folder.
    """
    file = PurePosixPath(path)
    if file.parent.name != PurePosixPath(STATE_FILE).parent.name or file.suffix != LIGHTNING_SUFFIX:
        return False
    return any((file.parent.parent / beside).as_posix() in there for beside in (JOB_FILE, CONFIG_FILE))


def _checkpoints(listing: Sequence[str]) -> list[Choice]:
    there = set(listing)
    found = []
    for name in sorted(listing):
        path = PurePosixPath(name)
        config = (path.parent / CONFIG_FILE).as_posix()
        if path.name == WEIGHTS_FILE and config in there:
            found.append(Choice(name, config))
        elif path.suffix == LIGHTNING_SUFFIX and not is_run_state(name, there):
            found.append(Choice(name, None))
    return found


def _known(found: Sequence[Choice], patterns: Sequence[str], where: str) -> Choice:
    def fits(choice: Choice) -> int:
        return sum(bool(re.search(pattern, choice.weights, re.IGNORECASE)) for pattern in patterns)

    best = max(found, key=fits)  # of equals the first by name
    others = [choice.weights for choice in found if choice is not best]
    logger.info("%s: %s is loaded; there are also %s", where, best.weights, _calls(others))
    return best


def _calls(paths: Sequence[str]) -> str:
    return some([f"filename={path!r}" for path in paths], _SHOWN)
