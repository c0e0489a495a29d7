"""Who writes checkpoints, what was measured of them, and files made of them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import snn_voice_hub as sv
from tests.faults.common import both, checkpoint, clips, earlier, has, named, network, once, opens, writer
from tests.faults.trial import Act, Writer, command


@writer
def save_pretrained() -> Writer:
    return Writer(checkpoint(1), opens())


@writer
def save_over_another() -> Writer:
    return Writer(checkpoint(1), opens(), checkpoint(2))


@writer
def pull() -> Writer:
    return Writer(pulled, opens("out"), alone=True)


def pulled(place: Path) -> None:
    shutil.rmtree(place / "out", ignore_errors=True)  # it has to be new
    command("pull", "tcy-snn", place / "out")


@writer
def convert() -> Writer:
    from tests.hub.legacy.writer import network as paper_network
    from tests.hub.legacy.writer import write

    def prepare(place: Path) -> None:
        write(paper_network("TcySNN"), place / "x.ckpt")

    def act(place: Path) -> None:
        if (place / "out").exists() and not (place / "out" / "README.md").exists():
            shutil.rmtree(place / "out")  # whole, without a card: a user is told to name a new folder
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place / "out")
        command("convert", place / "x.ckpt", place / "out")

    return Writer(act, opens("out"), prepare, kept=("out/*",), alone=True)


@writer
def conversion() -> Writer:
    """What `from_pretrained` does with a legacy checkpoint, in its cache."""
    from snn_voice_hub.hub.legacy.conversion import convert_lightning
    from tests.hub.legacy.writer import network as paper_network
    from tests.hub.legacy.writer import write

    def prepare(place: Path) -> None:
        write(paper_network("TcySNN"), place / "x.ckpt")

    def act(place: Path) -> None:
        with named(place):
            convert_lightning(place / "x.ckpt", place / "cache" / "out")

    return Writer(act, opens("cache/out"), prepare)


@writer
def enroll() -> Writer:
    def act(place: Path) -> None:
        shutil.rmtree(place / "out", ignore_errors=True)
        command("enroll", place / "clips", "--model", "tcy-snn", "--out", place / "out")

    return Writer(act, opens("out"), clips, differs=("out/config.json", "out/README.md"), alone=True, most=3)


@writer
def card() -> Writer:
    def prepare(place: Path) -> None:
        checkpoint(1)(place)
        text = (place / "model" / "README.md").read_text()
        (place / "model" / "README.md").write_text(f"{text}\nWhat I wrote.\n")

    return Writer(
        lambda place: command("card", place / "model", "--repo-id", "me/x", "--write"),
        both(opens(), has("model/README.md")),
        prepare,
    )


@writer
def evaluate() -> Writer:
    from snn_voice_hub.training.measuring import evaluate as measuring

    once(measuring, "measure")

    def prepare(place: Path) -> None:
        clips(place)
        shutil.copytree(Path(sv.__file__).parent / "weights" / "tcy-snn", place / "model")

    def act(place: Path) -> None:
        command(
            *("evaluate", place / "model", "--data", place / "clips", "--quick", "--write"),
            *("--out", place / "report", "--engine", "torch"),
        )

    files = ("report/report.json", "report/words.csv", "report/confusion.csv", "report/confusion.png")
    return Writer(act, both(opens(), has(*files)), prepare, most=4)


@writer
def picture() -> Writer:
    """What is drawn goes through it; `test_one_way` sees to that."""
    from matplotlib.figure import Figure
    from PIL import Image

    from snn_voice_hub.plotting import picture as pictured

    def act(place: Path) -> None:
        with pictured(place / "a.png") as (part, form):
            Figure(figsize=(1, 1)).savefig(part, format=form)
        with pictured(place / "a.gif") as (part, _):
            frames = [Image.new("P", (40, 40), colour) for colour in (1, 2)]
            frames[0].save(part, format="GIF", save_all=True, append_images=frames[1:], duration=100)

    return Writer(act, has("a.png", "a.gif"), both(earlier("a.png"), earlier("a.gif")))


@writer
def study() -> Writer:
    from snn_voice_hub.training.study.report.write import write_report
    from snn_voice_hub.training.study.results import load_results
    from tests.training.study.helpers import result, run

    def act(place: Path) -> None:
        result(run("TcySNN", 2)).save(place / "runs" / "one" / "result.json")
        write_report(place)

    def look(place: Path) -> None:
        assert len(load_results(place)) == 1
        has("report.md", "results.csv", "figures/accuracy.png")(place)

    return Writer(act, look, most=4)


@writer
def export_onnx() -> Writer:
    from snn_voice_hub.export import whole

    once(whole, "onnx_file")
    act = _exporting("onnx", "x.onnx")
    return Writer(act, has("x.onnx"), earlier("x.onnx"), most=2)


@writer
def export_graph() -> Writer:
    from snn_voice_hub.export import onnx

    once(onnx, "graph_of")
    return Writer(
        lambda place: onnx.export_network(network(1), place / "x.onnx") and None,
        has("x.onnx"),
        earlier("x.onnx"),
    )


@writer
def export_nir() -> Writer:
    return Writer(_exporting("nir", "x.nir"), has("x.nir"), earlier("x.nir"), differs=("x.nir",), most=2)


def _exporting_c() -> Act:
    """What is computed for C is computed once; a full disk changes nothing of it."""
    from snn_voice_hub.export.c import files

    for name in (
        "make_front_end",
        "plain_copy",
        "make_plan",
        "constants",
        "cost_of",
        "header",
        "tables",
        "compared",
    ):
        once(files, name)
    return _exporting("c", "c", model="tempo-snn")


@writer
def export_c() -> Writer:
    act = _exporting_c()
    return Writer(act, has("c/snn_voice.h", "c/model.c", "c/README.md"), most=4)


@writer
def export_c_over_another() -> Writer:
    act = _exporting_c()

    def prepare(place: Path) -> None:
        (place / "c").mkdir()
        for name in ("snn_voice.h", "model.c", "mine.c"):
            (place / "c" / name).write_text("/* an earlier one */")

    return Writer(act, has("c/snn_voice.h", "c/model.c", "c/README.md", "c/mine.c"), prepare, most=4)


def _exporting(form: str, name: str, model: str = "tcy-snn") -> Act:
    return lambda place: command("export", model, "--to", form, "--out", place / name)
