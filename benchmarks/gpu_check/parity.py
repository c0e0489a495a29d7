"""Is what a GPU says what the paper's code said, and what the CPU says?"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.common import ROOT
from benchmarks.gpu_check.clock import Budget, WrongAnswer
from benchmarks.gpu_check.sound import clips, words
from benchmarks.report import Table
from snn_voice_hub.hub.bundled import DEFAULT_MODEL, bundled_names
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.tensors import no_autocast
from snn_voice_hub.voice import SnnVoice
from tests.golden.networks import build

FOLDER = ROOT / "tests" / "golden"
# Logits that are further apart than that share of the largest are no rounding: a spike has flipped.
_ROUNDING = 1e-4
# Kernels of cuDNN sum in other orders and by other formulas; relative to what goes in, that is as if it had
# moved by so much. How far logits move then is asked of the CPU.
_KERNELS = 1e-5
_DRAWS = 3
# And a spike that no draw has flipped may flip there, in a clip or two, without another word.
_FEW = 0.05
# They draw from the generator of the device, whose numbers are others.
_DRAWN = "rate"


@dataclass(frozen=True)
class Case:
    """A network of the paper's with its figures.

    Attributes:
        name: Model and case.
        network: On the CPU.
        x: What goes in, `[8, ...]`.
        wanted: Logits `[8, 35]`.
    """

    name: str
    network: nn.Module
    x: Tensor
    wanted: Tensor


def golden(*, quick: bool = False, only: str = "") -> Iterator[Case]:
    """The cases of `tests/golden/`.

    Args:
        quick: One of each network.
        only: How their names begin.
    """
    figures = load_file(FOLDER / "golden.safetensors")
    cases = json.loads((FOLDER / "golden.json").read_text())["cases"]
    for model, found in cases.items():
        for case, info in found.items():
            name = f"{model} {case}"
            if _DRAWN in case or (quick and case not in ("cnn", "t5")) or not name.startswith(only):
                continue
            x = figures["features/waveform" if model.startswith("M5") else "features/logmel"]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*stays silent")  # as the paper's does
                network = build(model, info["arguments"]).requires_grad_(False)
            yield Case(name, network, x, figures[f"{model}/{case}/logits"])


def logits_of(network: nn.Module, x: Tensor) -> Tensor:
    """Logits `[B, C]` on the CPU, in whole float32."""
    device = next(network.parameters()).device
    with torch.inference_mode(), no_autocast(device):
        steps = network.forward_steps(x.to(device)) if isinstance(network, SpikingNetwork) else None
        out = network(x.to(device)) if steps is None else steps.sum(0)
        out = out.float().cpu()
    return out.clone()  # no inference tensor


def sensitivity(network: nn.Module, x: Tensor) -> Tensor:
    """How far the logits of each clip `[B]` move on the CPU when the input moves by `_KERNELS`."""
    generator = torch.Generator().manual_seed(0)
    still, moved = logits_of(network, x), torch.zeros(len(x))
    for _ in range(_DRAWS):
        noise = torch.randn(x.shape, generator=generator)
        moved = torch.maximum(moved, (logits_of(network, x * (1 + _KERNELS * noise)) - still).abs().amax(1))
    return moved


def apart(found: Tensor, wanted: Tensor) -> Tensor:
    """The largest difference of each clip's logits `[B]`, as a share of the largest logit of all."""
    if found.shape != wanted.shape or not bool(found.isfinite().all()):
        return torch.full((len(wanted),), torch.inf)
    return (found - wanted).abs().amax(1) / wanted.abs().max().clamp(min=1e-30)


def judge(name: str, found: Tensor, wanted: Tensor, network: nn.Module, x: Tensor) -> tuple[float, int]:
    """Whether logits are those that are wanted, but for spikes at their threshold.

    Args:
        name: For the message.
        found: Logits `[B, C]`.
        wanted: Logits `[B, C]`.
        network: The same one on the CPU, which says how far rounding can move them.
        x: What goes in.

    Returns:
        The largest difference, as a share of the largest logit; and in how many clips a spike has flipped.

    Raises:
        WrongAnswer: They are others.
    """
    far = apart(found, wanted)
    if bool((far <= _ROUNDING).all()):
        return float(far.max()), 0
    largest = wanted.abs().max().clamp(min=1e-30)
    allowed = 4 * float(sensitivity(network, x).max() / largest)
    flipped = far > _ROUNDING
    few = int(flipped.sum()) <= len(x) // 4 and bool((found.argmax(1) == wanted.argmax(1)).all())
    if float(far.max()) > max(allowed, _FEW if few else 0.0):
        raise WrongAnswer(
            f"{name}: logits differ by {float(far.max()):.2g} of the largest in {int(flipped.sum())} of "
            f"{len(x)} clips; as much as rounding moves them are {allowed:.2g}"
        )
    return float(far.max()), int(flipped.sum())


def compare_golden(device: torch.device, budget: Budget, *, quick: bool) -> tuple[Table, int]:
    """The paper's networks on a device, all steps at once.

    Returns:
        A row for each network, and how many cases time was too short for.
    """
    table = Table("network", "cases", "largest difference of the logit", "clips with a flipped spike")
    rows: dict[str, tuple[int, float, int]] = {}
    late = 0
    for case in golden(quick=quick):
        if budget.part_left < 0:
            late += 1
            continue
        cpu = case.network
        here = logits_of(copy.deepcopy(cpu).to(device), case.x)
        far, flipped = judge(case.name, here, case.wanted, cpu, case.x)
        model = case.name.split()[0]
        count, most, clips_flipped = rows.get(model, (0, 0.0, 0))
        rows[model] = (count + 1, max(most, far), clips_flipped + flipped)
    for model, row in rows.items():
        table.add(model, *row)
    return table, late


def compare_engines(
    device: torch.device, budget: Budget, engines: tuple[str, ...], *, quick: bool
) -> tuple[Table, list[str]]:
    """The bundled models on a device: each engine against the loop on the CPU, with the words of `examples/`.

    Returns:
        A row for each model and engine, and what was left out.
    """
    table = Table(
        *("model", "engine", "largest difference of the logit", "clips with a flipped spike", "words"),
        "same bits again",
    )
    left = []
    names = sorted(bundled_names(), key=lambda name: (name != DEFAULT_MODEL, name != "tempo-snn", name))
    sound, spoken = clips(8), list(words())
    for name in names[: 2 if quick else None]:
        cpu = SnnVoice.from_pretrained(name, engine="loop", device="cpu").requires_grad_(False)
        here = SnnVoice.from_pretrained(name, engine="torch", device=str(device)).requires_grad_(False)
        with torch.inference_mode():
            wanted = cpu(sound)
            x, _ = cpu._inputs(sound)
        for engine in engines:
            # The compiler can't be stopped once it has begun.
            if budget.part_left < (40 if engine == "compile" and device.type == "cuda" else 0):
                left.append(f"{name}, `{engine}`: no time")
                continue
            here.engine = engine
            with torch.inference_mode():
                found, again = (here(sound.to(device)).float().cpu() for _ in range(2))
            info = here.engine_info()
            if info["engine"] != engine or info.get("failed"):
                left.append(f"{name}, `{engine}`: {info.get('failed') or info['reasons'].get(engine)}")
                continue
            far, flipped = judge(f"{name}, {engine}", found, wanted, cpu.network, x)
            right = sum(
                cpu.labels[int(best)] == word for best, word in zip(found.argmax(1), spoken, strict=True)
            )
            same = "yes" if torch.equal(found, again) else "no"
            table.add(name, engine, far, flipped, f"{right} of {len(spoken)}", same)
    return table, left
