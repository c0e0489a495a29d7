"""Mutants that no test can notice, and why: they change nothing that anybody relies on."""

from __future__ import annotations

from typing import Final


def change(diff: str) -> str:
    """What a mutant changes, in one line: `before -> after`."""
    lines = [line for line in diff.split("\n") if line[:3] not in ("---", "+++")]
    before, after = (" ".join(line[1:] for line in lines if line[:1] == sign).split() for sign in "-+")
    return f"{' '.join(before)} -> {' '.join(after)}"


_STATIC: Final = "PyTorch looks it up in the class, where a function is the same without it"

EQUIVALENT: Final[dict[str, dict[str, str]]] = {
    "lif": {
        "@staticmethod -> ": _STATIC,
    },
    "features": {
        "frames = functional.pad(x, (r.width, r.width + step)).unfold(-1, r.kernel.shape[-1], step) -> "
        "frames = functional.pad(x, (r.width, r.width * step)).unfold(-1, r.kernel.shape[-1], step)": (
            "more zeros behind the sound, and what is made of them is cut off"
        ),
    },
    "batching": {
        "fail(batch[0].job, error) -> fail(batch[ -1].job, error)": "one window is of one request",
    },
    "detector": {
        "return bool((self._shares(scores[np.newaxis])[0] >= self._thresholds).any()) -> "
        "return bool((self._shares(scores[np.newaxis])[ -1] >= self._thresholds).any())": "there is one row",
    },
}
