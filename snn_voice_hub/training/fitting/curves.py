"""The curves of a run as files: `log.jsonl`, `logs/csv/metrics.csv`, and TensorBoard's where it is there."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

from snn_voice_hub.training.fitting.folder import GO_ON, LOG, TABLE
from snn_voice_hub.writing import write_whole, writing_into

Row = dict[str, float]

_BOARD = Path("logs", "tensorboard")


class Curves:
    """What was measured, and when.

    All rows are kept with the run's state, and files are written as a whole: when a run was cut off they
    have neither rows twice nor gaps after it, whatever became of them meanwhile.

    Args:
        out: The run's folder.

    Attributes:
        rows: `epoch` and `step` (the number of the last one, from 0), and values by name.
    """

    def __init__(self, out: Path) -> None:
        self.rows: list[Row] = []
        self._out = out
        self._board: Any = None

    def add(self, row: Row) -> None:
        """Add a row, to show it on TensorBoard at once."""
        self.rows.append(row)
        if self._board is not None:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(row["step"]))

    def open(self, steps: int) -> None:
        """Begin to write.

        Args:
            steps: That were taken before; what TensorBoard was told of later ones does not count.
        """
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(self._out / _BOARD, purge_step=steps)

    def write(self, history: list[Row]) -> None:
        """Write all files.

        Args:
            history: A row an epoch, for `log.jsonl`.

        Raises:
            SnnVoiceError: One can't be written.
        """
        target = self._out / TABLE
        with writing_into(target.parent, GO_ON):
            target.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        names = sorted({name for row in self.rows for name in row} - {"epoch", "step"})
        table = csv.DictWriter(text, ["epoch", "step", *names], lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_whole(target, text.getvalue(), hint=GO_ON)
        write_whole(self._out / LOG, "".join(f"{json.dumps(line)}\n" for line in history), hint=GO_ON)
        if self._board is not None:
            with writing_into(self._out / _BOARD, GO_ON):
                self._board.flush()

    def close(self) -> None:
        """End writing."""
        if self._board is not None:
            self._board.close()
            self._board = None
