"""Kills at random moments: what was saved opens, and what goes on comes to the same end.

    python -m tests.faults.kills                                # 100 kills of each scene
    python -m tests.faults.kills training --kills 20 --seed 7   # the same again

Each scene works in a process of its own, forked from this one; the moment is drawn from as long as the work
takes where nobody disturbs it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

import torch

from tests.faults.scenes import SCENES, Scene
from tests.faults.service import service_killed


def _forked(scene: Scene, folder: Path) -> int:
    if child := os.fork():
        return child
    code = 1
    try:
        scene.work(folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _to_the_end(scene: Scene, folder: Path) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(_forked(scene, folder), 0)[1])
    if code:
        raise SystemExit(f"{scene.name}: it ended with {code} in {folder.name}")


def killed(scene: Scene, base: Path, kills: int, rng: random.Random, until: float) -> int:
    """Kill somebody who works, again and again; each goes on where the one before was killed.

    Args:
        scene: Who works.
        base: An empty folder.
        kills: How often.
        rng: Says when.
        until: No further ones after this time (monotonic).

    Returns:
        How many kills there were.

    Raises:
        SystemExit: Something that was saved does not open, or it came to another end.
    """
    _to_the_end(scene, base / "first")  # what is made once for all is not timed
    begun = time.monotonic()
    _to_the_end(scene, base / "whole")
    seconds, wanted = time.monotonic() - begun, scene.outcome(base / "whole")
    done = turn = 0
    folder = base / "0"
    while done < kills and time.monotonic() < until:
        child, moment = _forked(scene, folder), rng.uniform(0, seconds)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == -signal.SIGKILL:
            done += 1
        elif code:
            raise SystemExit(f"{scene.name}: after kill {done} it ended with {code}")
        try:
            scene.look(folder)
        except Exception as error:
            raise SystemExit(f"{scene.name}: kill {done} after {moment:.3f} s: {error!r}") from error
        if code == 0 or done == kills:
            _to_the_end(scene, folder)
            if scene.outcome(folder) != wanted:
                raise SystemExit(f"{scene.name}: after kill {done} it came to another end")
            turn += 1
            folder = base / str(turn)
    return done


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [*SCENES, "service"]
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--kills", type=int, default=100, help="of each scene")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--seconds", type=float, default=1800.0, help="that a scene may take")
    given = parser.parse_args()
    if unknown := set(given.scenes) - set(names):
        parser.error(f"no scene {unknown.pop()!r}; one of {', '.join(names)}")
    torch.set_num_threads(1)  # a process that is forked has no other threads
    print(f"seed {given.seed}", flush=True)
    for name in given.scenes or names:
        rng, begun = random.Random(f"{given.seed}/{name}"), time.monotonic()
        with tempfile.TemporaryDirectory(prefix="snn-voice-kills-") as base:
            run = partial(killed, SCENES[name]) if name in SCENES else service_killed
            done = run(Path(base), given.kills, rng, begun + given.seconds)
        print(f"{name}: {done} kills in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
