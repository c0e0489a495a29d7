"""Who writes caches, answers and tables, and a training."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np

import snn_voice_hub as sv
from tests.faults.common import checkpoint, clips, earlier, opens, writer
from tests.faults.trial import Writer, nothing


@writer
def kernels() -> Writer:
    """The compiler's part is done by a script that copies what was compiled before."""
    import os

    from snn_voice_hub.native import build
    from snn_voice_hub.native.kernels import load_kernels

    ready = load_kernels().path

    def compiler(line: list[str]) -> str:
        if "--version" in line:
            return "version"
        try:
            return str(shutil.copy(ready, line[-1]))
        except OSError as error:
            raise build.BuildError(f"{line[-1]}: {error.strerror}") from error

    build._run = compiler

    def act(place: Path) -> None:
        os.environ["SNN_VOICE_CACHE"] = str(place / "cache")
        try:
            build.build_here()
        except build.BuildError as error:
            raise sv.SnnVoiceError(str(error)) from error

    def look(place: Path) -> None:
        (path,) = (place / "cache" / "native").glob("*.so")
        assert build.is_whole(path)
        build.open_library(path)

    return Writer(act, look, kept=("cache/native/*.sha256",))


@writer
def clip_cache() -> Writer:
    from snn_voice_hub.training.clips.data import Reader

    def act(place: Path) -> None:
        reading = Reader(cache=place / "cache").read(place / "clips")
        assert len(reading.clips) == 9

    return Writer(act, nothing, clips, silent=True, differs=("cache/*.npz",))


@writer
def answers() -> Writer:
    from snn_voice_hub.training.fitting.answers import Answers, write_answers

    def act(place: Path) -> None:
        write_answers(place / "a.npz", "t", ["yes/a.wav"], ["yes", "no"], np.log(np.array([[0.9, 0.1]])))

    return Writer(
        act, lambda place: Answers.read(place / "a.npz") and None, earlier("a.npz"), differs=("a.npz",)
    )


@writer
def train() -> Writer:
    from snn_voice_hub.training.fitting.fit import Job, fit
    from tests.training.helpers import dataset, recipe

    job, clips_to_learn = Job(name="tones", recipe=recipe(epochs=1), seed=3), dataset(4, 2)

    def act(place: Path) -> None:
        fit(job, clips_to_learn, place / "run", resume=True, accelerator="cpu", keep_every=0.0)

    def stands(place: Path) -> None:
        """Whoever opens the folder has a model, or is told that there is none."""
        with contextlib.suppress(sv.SnnVoiceError):
            sv.SnnVoice.from_pretrained(place / "run", engine="torch")

    # What a run that was cut off has left is gone on from, and is made anew where it is damaged.
    files = ("run/*",)
    return Writer(act, opens("run"), stands=stands, kept=files, differs=files, most=4)


@writer
def lesson() -> Writer:
    """The beginning and the end of `teach`; what is between them is `synthesize` and `train`."""
    from snn_voice_hub.training.lessons import teach
    from snn_voice_hub.training.lessons.lesson import Lesson

    def act(place: Path) -> None:
        asked = Lesson(("robot",), "tcy-snn", (), (), 2, 0)
        asked.begin(place / "out")
        if teach._finished(place / "out") is None:
            teach._publish(place / "model", place / "out", {"threshold": 0.5})

    return Writer(act, opens("out"), checkpoint(1))


@writer
def hub_cache() -> Writer:
    """A Hub is running, and `me/model` is on it."""
    from snn_voice_hub.hub.loading import Loading
    from snn_voice_hub.hub.publish import pull_folder

    def act(place: Path) -> None:
        out = place.parent / "out"  # of another disk
        shutil.rmtree(out, ignore_errors=True)
        pull_folder("me/model", out, Loading(cache_dir=place / "cache"), quiet=True)
        opens("out")(place.parent)

    names = ("cache/*.lock", "cache/*.incomplete")  # the second of downloads that were killed
    return Writer(act, nothing, kept=names, differs=names, says="the disk is full", most=6)
