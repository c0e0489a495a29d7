"""How checkpoints are made and measured; a name is imported when it is first asked for.

>>> from snn_voice_hub.training import RECIPES, Job, fit, load_dataset
>>> fit(Job(name="mine", recipe=RECIPES["m5-snn"]), load_dataset("my_words"), Path("runs/mine"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snn_voice_hub.training.clips.sources import load_dataset
    from snn_voice_hub.training.fitting.fit import fit
    from snn_voice_hub.training.fitting.job import Job
    from snn_voice_hub.training.fitting.recipes import RECIPES
    from snn_voice_hub.training.lessons.teach import teach
    from snn_voice_hub.training.measuring.evaluate import evaluate
    from snn_voice_hub.training.voices.synthesis import synthesize

__all__ = ["RECIPES", "Job", "evaluate", "fit", "load_dataset", "synthesize", "teach"]

_HOMES = {
    "Job": "fitting.job",
    "RECIPES": "fitting.recipes",
    "evaluate": "measuring.evaluate",
    "fit": "fitting.fit",
    "load_dataset": "clips.sources",
    "synthesize": "voices.synthesis",
    "teach": "lessons.teach",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
