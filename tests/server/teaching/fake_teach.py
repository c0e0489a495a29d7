"""Stands in for `snn-voice teach`: `python fake_teach.py CHECKPOINT --out FOLDER ... -- WORD...`.

The first word says what becomes of it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path


def tell(step: str, **fields: object) -> None:
    print(json.dumps({"step": step, **fields}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--synthetic-only", action="store_true")
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--json", action="store_true", required=True)
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args()
    clips = (
        sorted(str(path.relative_to(asked.clips)) for path in asked.clips.rglob("*.*")) if asked.clips else []
    )
    about = {"clips": clips, "synthetic": asked.synthetic_only, "count": asked.count, "nice": os.nice(0)}
    (asked.out.parent / "asked.json").write_text(json.dumps(about | {"words": asked.words}))
    print("warning: nothing of importance", file=sys.stderr)
    tell("read", text=f"reads {len(clips)} clips in {asked.out.parent}/_clips", done=1, of=2)
    print("a line that is no JSON", flush=True)
    what = asked.words[0]
    if what == "wrong":
        print("snn-voice: error: too few clips of wrong (record more)", file=sys.stderr)
        sys.exit(2)
    if what == "crash":
        raise RuntimeError("a tensor has a wrong shape")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "mute":
        sys.exit(0)
    if what == "hungry":
        kept = b"x" * (150 << 20)
        tell("train", text=f"holds {len(kept)} bytes", done=1, of=1)
        time.sleep(60)
    if what in ("slow", "stubborn"):
        if what == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        tell("train", text="trains", pids=[os.getpid(), helper.pid], done=0, of=10**400)
        (asked.out.parent / "pids").write_text(f"{os.getpid()} {helper.pid}")
        time.sleep(60)
    for epoch in range(1, 4):
        tell("train", text=f"trains, epoch {epoch}", done=epoch, of=3)
    shutil.copytree(asked.checkpoint, asked.out)
    figures = {
        "missed": {"recordings": 0.125, "synthetic voices": 0.0},
        "clips": {"recordings": 8},
        "times_said": {"recordings": 8},
        "false_alarms": {"speech": 0.5, "odd": float("nan")},
        "threshold": 0.8125,
        "odd": [1, 2],
    }
    if what == "broken":
        (asked.out / "model.safetensors").write_bytes(b"nothing")
    tell("done", folder=str(asked.out), model=asked.out.name, figures=figures, listen="snn-voice listen")


if __name__ == "__main__":
    main()
