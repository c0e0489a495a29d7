"""What the commands that read labelled clips share."""

from __future__ import annotations

from collections.abc import Sequence

from snn_voice_hub.cli.output import say
from snn_voice_hub.config import MAX_THREADS
from snn_voice_hub.errors import SnnVoiceError

# Of `--data`.
DATA = (
    "speech_commands; a folder of folders word/clip.wav, or a tar of one; a folder with train.tar and "
    "val.tar; or a manifest, .csv, .tsv or .jsonl, with a path and a label a row."
)

# Of the files that can't be read, so many are named one by one.
_NAMED = 20


def tell_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Say on stderr which files could not be used, and why."""
    if not skipped:
        return
    say(f"{len(skipped)} files could not be used:", err=True)
    for name, reason in skipped[:_NAMED]:
        say(f"  {name}: {reason}", err=True)
    if len(skipped) > _NAMED:
        say(f"  and {len(skipped) - _NAMED} more", err=True)


def use_threads(threads: int | None) -> None:
    """Set the number of PyTorch's threads, if one is given.

    Raises:
        SnnVoiceError: It is not legal.
    """
    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise SnnVoiceError(f"--threads {threads} is not legal", hint=f"a whole number, 1 to {MAX_THREADS}")
    import torch

    torch.set_num_threads(threads)
