"""The folder of a run: what its files are called, by what they are sealed, and who writes them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snn_voice_hub.hub.choice import STATE_FILE

# Its curves, and what it goes on from.
LOG = "log.jsonl"
TABLE = "logs/csv/metrics.csv"
STATE = Path(STATE_FILE)
# In JSON that a later command relies on.
SEAL = "sha256"
# What a user does where a run can't write any more.
GO_ON = "make room, then resume: the run goes on from the state that it kept last"


def seal_of(data: Mapping[str, Any]) -> str:
    """A digest of what JSON says, however it is written; it stands beside it under `SEAL`."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def first_process() -> bool:
    """Whether this is the process that was started by the user, where Lightning has started more."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0
