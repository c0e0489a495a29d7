"""Cases that fuzzing has found worth keeping: a file of JSON for each target, in the folder beside this."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.places import ROOT
from tests.robustness.contract import Target

FOLDER: Final = Path(__file__).parent / "cases"
_OURS: Final = tuple(str(ROOT / folder) for folder in ("lite", "server", "snn_voice_hub"))


def read(target: str) -> dict[str, bytes]:
    """The cases of a target, by name."""
    path = FOLDER / f"{target}.json"
    if not path.is_file():
        return {}
    return {name: base64.b64decode(text) for name, text in json.loads(path.read_text()).items()}


def needed(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """The inputs without which a line of ours would not be reached, or an outcome not be seen; small first.

    Args:
        target: Gives a word for the outcome.
        inputs: Of which to choose.
    """
    reached: set[object] = set()
    chosen = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        steps: set[object] = set()
        last = [0]

        def line(
            frame: FrameType, event: str, _: Any, steps: set[object] = steps, last: list[int] = last
        ) -> Any:
            if event == "line":
                steps.add((frame.f_code, last[0], frame.f_lineno))
                last[0] = frame.f_lineno
            return line

        def call(frame: FrameType, _: str, __: Any, line: Any = line) -> Any:
            return line if frame.f_code.co_filename.startswith(_OURS) else None

        before = sys.gettrace()
        sys.settrace(call)
        try:
            outcome = target(data)
        finally:
            sys.settrace(before)
        if new := (steps | {outcome}) - reached:
            reached |= new
            chosen.append(data)
    return chosen


def write(target: str, cases: Iterable[bytes]) -> None:
    """Keep these cases, small ones first."""
    found = {
        hashlib.sha256(case).hexdigest()[:12]: case
        for case in sorted(cases, key=lambda case: (len(case), case))
    }
    texts = {name: base64.b64encode(case).decode() for name, case in found.items()}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{target}.json").write_text(json.dumps(texts, indent=0) + "\n")
