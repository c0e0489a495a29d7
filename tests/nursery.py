"""Python snippets in processes of their own, forked from one that has imported what takes long."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Ran:
    """How a snippet ended.

    Attributes:
        code: Exit code.
        out: What it printed.
        err: What it wrote to stderr.
        seconds: How long it took, without the imports that were made beforehand.
    """

    code: int
    out: str
    err: str
    seconds: float

    @property
    def value(self) -> Any:
        """The last printed line, which the snippet wrote as JSON."""
        return json.loads(self.out.splitlines()[-1])


# Importing torch takes seconds, and most snippets need a process of their own only for huggingface_hub, which
# reads its environment when it is imported. So one process imports the former without the latter, and forks.
USUAL = ("numpy", "soundfile", "soxr", "torch", "torchaudio", "snntorch")
_NURSERY = """
import importlib, json, os, sys, time, traceback
for name in sys.argv[1:]:
    importlib.import_module(name)
import torch
torch.set_num_threads(1)
assert "huggingface_hub" not in sys.modules
print("ready", flush=True)

def work(snippet, environment, out, err):
    code = 1
    try:
        for number, name in ((0, os.devnull), (1, out), (2, err)):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
        os.environ.pop("HF_TOKEN", None)
        os.environ.update(environment)
        sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)
        sys.argv = ["snippet"]
        exec(compile(snippet, "snippet", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

for line in sys.stdin:
    job = json.loads(line)
    start = time.monotonic()
    running = {}
    for number, snippet in enumerate(job["snippets"]):
        child = os.fork()
        if not child:
            stem = f"{job['folder']}/{number}"
            work(snippet, job["environment"], stem + ".out", stem + ".err")
        running[child] = number
    ended = [None] * len(running)
    while running:
        child, status = os.wait()
        ended[running.pop(child)] = [os.waitstatus_to_exitcode(status), time.monotonic() - start]
    print(json.dumps(ended), flush=True)
"""


class Nursery:
    """A process that has torch imported and forks a child for each snippet.

    Args:
        imports: Modules that its children need, and that take long to import.
        preload: A library that it and its children are started with.
    """

    def __init__(self, imports: tuple[str, ...] = USUAL, preload: str = "") -> None:
        self._key = imports, preload
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY, *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"} | ({"LD_PRELOAD": preload} if preload else {}),
        )
        self._ready = False

    def run(self, snippets: list[str], environment: dict[str, str], seconds: float = 140.0) -> list[Ran]:
        """Run snippets at the same time, to their ends."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            if not self._ready:
                assert self._line(140) == "ready"
                self._ready = True
            assert self._process.stdin
            job = {"snippets": snippets, "environment": environment, "folder": folder}
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            return [
                Ran(code, Path(folder, f"{n}.out").read_text(), Path(folder, f"{n}.err").read_text(), took)
                for n, (code, took) in enumerate(json.loads(self._line(seconds)))
            ]

    def _line(self, seconds: float) -> str:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self.close()
            raise AssertionError(f"the snippet did not end in {seconds} s")
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        _nurseries.pop(self._key, None)
        self._process.kill()
        self._process.communicate()


_nurseries: dict[tuple[tuple[str, ...], str], Nursery] = {}


def nursery(imports: tuple[str, ...] = USUAL, preload: str = "") -> Nursery:
    """The one of this test session that has imported that; it starts while other things go on."""
    if (imports, preload) not in _nurseries:
        _nurseries[imports, preload] = Nursery(imports, preload)
    return _nurseries[imports, preload]


def close_nurseries() -> None:
    for found in list(_nurseries.values()):
        found.close()
