"""The curves of a run as files: `log.jsonl`, `logs/csv/metrics.csv`, and TensorBoard's where it is there."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from snn_voice_hub.training.fitting.folder import GO_ON, LOG, TABLE
from snn_voice_hub.writing import append_whole, write_whole, writing_into

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
        self._board: _Board | None = None

    def add(self, row: Row) -> None:
        """Add a row, to show it on TensorBoard at once.

        Raises:
            SnnVoiceError: TensorBoard's file can't be written.
        """
        self.rows.append(row)
        if self._board is not None:
            self._board.add(row)

    def open(self, steps: int) -> None:
        """Begin to write.

        Args:
            steps: That were taken before; what TensorBoard was told of later ones does not count.

        Raises:
            SnnVoiceError: TensorBoard's file can't be written.
        """
        if importlib.util.find_spec("tensorboard") is not None:
            self._board = _Board(self._out / _BOARD, steps)

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

    def close(self) -> None:
        """End writing."""
        self._board = None


class _Board:
    """A file of TensorBoard's, written here: its own writer is a thread, whose errors nobody can catch."""

    def __init__(self, folder: Path, steps: int) -> None:
        from tensorboard.compat.proto import event_pb2

        self._folder = folder
        # They are read in the order of their names.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{uuid.uuid4().hex}"
        self._file = folder / name
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        with writing_into(folder, GO_ON):
            folder.mkdir(parents=True, exist_ok=True)
        self._write([{"file_version": "brain.Event:2"}, {"step": steps, "session_log": start}])

    def add(self, row: Row) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=row[name]) for name in row if name != "step"]
        self._write([{"step": int(row["step"]), "summary": Summary(value=values)}])

    def _write(self, events: list[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        records = io.BytesIO()
        for event in events:
            RecordWriter(records).write(Event(wall_time=time.time(), **event).SerializeToString())
        with writing_into(self._folder, GO_ON):
            append_whole(self._file, records.getvalue())
