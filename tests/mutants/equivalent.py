"""Mutants that no test can notice, and why: they change nothing that anybody relies on."""

from __future__ import annotations

from typing import Final


def change(diff: str) -> str:
    """What a mutant changes, in one line: `before -> after`."""
    lines = [line for line in diff.split("\n") if line[:3] not in ("---", "+++")]
    before, after = (" ".join(line[1:] for line in lines if line[:1] == sign).split() for sign in "-+")
    return f"{' '.join(before)} -> {' '.join(after)}"


_STATIC: Final = "PyTorch looks it up in the class, where a function is the same without it"
_SPEED: Final = "the size of the parts decides about time alone"

EQUIVALENT: Final[dict[str, dict[str, str]]] = {
    "lif": {
        "@staticmethod -> ": _STATIC,
        "mem = torch.zeros_like(x[0]) if mem is None else mem -> "
        "mem = torch.zeros_like(x[ -1]) if mem is None else mem": "all steps have one shape",
        "ctx.set_materialize_grads(False) -> ctx.set_materialize_grads(True)": (
            "zeros are made where there is no gradient, which takes time alone"
        ),
    },
    "lif_layer": {
        "for t, w in zip(inputs, wanted, strict=True) -> "
        "for t, w in zip(inputs, wanted, strict=False)": "both are of four",
        "_PART = 1 << 16 -> _PART = 0 << 16": _SPEED,
        "_PART = 1 << 16 -> _PART = 1 << 15": _SPEED,
        "alone = then is None or type(then) is nn.Identity or _BY_CHANNEL.get(type(then)) == x.ndim -> "
        "alone = then is None or type(then) is nn.Identity or _BY_CHANNEL.get(type(then)) is x.ndim": (
            "a small number is one object in CPython"
        ),
    },
    "features": {
        "frames = functional.pad(x, (r.width, r.width + step)).unfold(-1, r.kernel.shape[-1], step) -> "
        "frames = functional.pad(x, (r.width, r.width * step)).unfold(-1, r.kernel.shape[-1], step)": (
            "more zeros behind the sound, and what is made of them is cut off"
        ),
    },
    "batching": {
        "fail(batch[0].job, error) -> fail(batch[ -1].job, error)": "one window is of one request",
        "if self._size < self.limits.batch_windows and self.health.since_out_of_memory(now) > _GROW_SECONDS: "
        "-> if self._size is not self.limits.batch_windows and self.health.since_out_of_memory(now) > "
        "_GROW_SECONDS:": "what is as large as allowed does not grow",
    },
    "detector": {
        "return bool((self._shares(scores[np.newaxis])[0] >= self._thresholds).any()) -> "
        "return bool((self._shares(scores[np.newaxis])[ -1] >= self._thresholds).any())": "there is one row",
    },
}
