"""Do exported files answer as the models do, and what do smaller weights cost?

For each model: the ONNX file, the `torch.export` file and the NIR file on real clips against PyTorch; and the
accuracy of weights kept in float16, in int8 (ONNX), and of NIR files read by the letter of the standard.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from benchmarks.common import begin, in_batches, load_clips, make_parser, share_right
from benchmarks.report import Report, Table
from benchmarks.subjects import load_subject
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export import nir
from snn_voice_hub.export.agreement import Agreement, agreement
from snn_voice_hub.export.whole import export_onnx, export_torch
from snn_voice_hub.hub.bundled import bundled_names
from snn_voice_hub.hub.choice import WEIGHTS_FILE
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.voice import SnnVoice

_BATCH = 32

Call = Callable[[Tensor], Tensor]


def onnx_call(path: Path) -> Call:
    """What runs an ONNX file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(["logits"], {name: x.numpy()})[0])


def torch_call(path: Path) -> Call:
    """What runs a `torch.export` file."""
    module = torch.export.load(path).module()
    return lambda x: module(x)[1]


def compare_spikes(
    network: SpikingNetwork, read: nir.NirNetwork, features: Tensor
) -> tuple[float, Agreement]:
    """Share of equal spikes of a NIR file, and how its logits compare."""
    with torch.no_grad():
        parts = [nir.compare(network, read, part) for part in features.split(_BATCH)]  # type: ignore[no-untyped-call]
    equal = sum(part.equal for part in parts) / sum(part.neurons for part in parts)
    logits, expected = (torch.cat([getattr(p, name) for p in parts]) for name in ("logits", "expected"))
    return equal, agreement(logits, expected)


def top1(logits: Tensor, clips: Clips, labels: list[str]) -> str:
    """Percentage of right answers."""
    return f"{100 * share_right(logits, clips, labels):.2f}"


def said(found: Agreement) -> tuple[str, str, str]:
    """Cells of a comparison."""
    best = f"{found.clips - found.other_best:,}"
    return f"{found.clips - found.moved:,}", f"{found.largest:.1g}", best


def megabytes(path: Path) -> float:
    """Size of a file."""
    return path.stat().st_size / 1e6


def measure(
    voice: SnnVoice, name: str, clips: Clips, folder: Path, tables: dict[str, Table], refused: list[str]
) -> None:
    """Add the rows of one model."""
    assert isinstance(voice.network, Network)
    network, config, labels = voice.network, voice.config, voice.labels
    trained = name in bundled_names()
    waves = clips.batch(slice(None))
    expected = in_batches(voice, waves)
    features = in_batches(voice.features, waves)

    onnx_file, torch_file, int8_file = (folder / f for f in ("m.onnx", "m.pt2", "m.int8.onnx"))
    export_onnx(network, config, onnx_file)
    export_torch(network, config, torch_file)
    export_onnx(network, config, int8_file, int8=True)
    for title, path, call in (("ONNX", onnx_file, onnx_call), ("torch", torch_file, torch_call)):
        found = agreement(in_batches(call(path), waves), expected)
        tables["files"].add(name, title, megabytes(path), f"{found.clips:,}", *said(found))
    int8_logits = in_batches(onnx_call(int8_file), waves)

    sizes = {}
    halves = {}
    for dtype in ("float32", "float16"):
        voice.save_pretrained(folder / dtype, dtype=dtype)
        sizes[dtype] = megabytes(folder / dtype / WEIGHTS_FILE)
    for dtype in ("float32", "float16"):
        half = SnnVoice.from_pretrained(folder / "float16", dtype=dtype, engine="torch")
        halves[dtype] = in_batches(half, waves)
    tables["weights"].add(
        name,
        sizes["float32"],
        sizes["float16"],
        megabytes(int8_file),
        *(top1(x, clips, labels) if trained else "" for x in (expected, *halves.values(), int8_logits)),
        *(int((x.argmax(1) != expected.argmax(1)).sum()) for x in (*halves.values(), int8_logits)),
    )

    if not isinstance(network, SpikingNetwork):
        return
    for form in ("lif", "parts"):
        path = folder / f"{form}.nir"
        try:
            nir.export_nir(network, config, path, neurons=form)
        except SnnVoiceError as error:
            refused.append(f"`{name}`: {error.message}.")
            return
        equal, found = compare_spikes(network, nir.load(path), features)
        tables["nir"].add(
            name,
            form,
            megabytes(path),
            f"{100 * equal:.4f}",
            *said(found),
            top1(expected, clips, labels),
        )
    letter = nir.load(folder / "lif.nir", reset="zero")
    equal, found = compare_spikes(network, letter, features)
    reset = in_batches(letter, features)
    tables["nir"].add(
        name,
        "lif, reset to 0",
        megabytes(folder / "lif.nir"),
        f"{100 * equal:.4f}",
        *said(found),
        top1(reset, clips, labels),
    )


def subjects(names: list[str]) -> list[tuple[str, SnnVoice]]:
    """The models by name; "piczak-snn" has fresh weights."""
    found = []
    for name in names:
        if name in bundled_names():
            voice = SnnVoice.from_pretrained(name)
        else:
            voice = load_subject(
                name.removesuffix("-snn"), argparse.Namespace(piczak=None, piczak_cnn=None)
            ).voice
        voice.engine = "torch"
        found.append((name, voice.requires_grad_(False)))
    return found


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=1486)
    parser.add_argument("--models", nargs="+", default=bundled_names())
    parser.add_argument("--piczak-clips", type=int, default=100, help="it is large, slow and untrained")
    given = begin(parser)
    tables = {
        "files": Table(
            "model", "file", "MB", "clips", "logits equal to 1e-4", "largest difference", "same best word"
        ),
        "nir": Table(
            "model",
            "neurons",
            "MB",
            "spikes equal, %",
            "logits equal to 1e-4",
            "largest difference",
            "same best word",
            "top-1, %",
        ),
        "weights": Table(
            "model",
            "float32, MB",
            "float16, MB",
            "int8 ONNX, MB",
            "top-1 of float32, %",
            "of float16",
            "float16, computed in it",
            "of int8",
            "other words: float16",
            "computed in it",
            "int8",
        ),
    }
    refused: list[str] = []
    report = Report("exported", "Exported files", given.out)
    clips = load_clips(given.data, given.clips, given.cache)
    for name, voice in subjects([*given.models, "piczak-snn"]):
        some = load_clips(given.data, given.piczak_clips, given.cache) if name == "piczak-snn" else clips
        with tempfile.TemporaryDirectory() as folder:
            measure(voice, name, some, Path(folder), tables, refused)
        print(name, flush=True)
    report.add(
        f"{len(clips):,} test clips; `piczak-snn` is untrained and ran on {given.piczak_clips} of them."
    )
    for table in tables.values():
        report.add(table)
    report.add("No NIR: " + " ".join(refused))


if __name__ == "__main__":
    main()
