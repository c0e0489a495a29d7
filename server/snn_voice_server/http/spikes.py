"""`POST /spikes`: which neurons fire for a sound file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from snn_voice_lite.answers import clearest, too_loud
from torch import Tensor

from snn_voice_hub import SnnVoice
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.spikes.energy.clip import clip_energy
from snn_voice_hub.spikes.raster import clip_raster
from snn_voice_hub.spikes.record import Row, check_spiking
from snn_voice_server.failures import RequestError
from snn_voice_server.http.answers import encode
from snn_voice_server.http.receiving import sound_route
from snn_voice_server.http.schemas import WORDS, LabelScore
from snn_voice_server.http.sounds import Sound
from snn_voice_server.models.compute import logits_of
from snn_voice_server.models.work import Work

router = APIRouter()

# --- what is answered -----------------------------------------------------------------------------


class LayerSpikes(BaseModel):
    """The spikes of one layer, of which a grid of neurons is shown: columns go along the sound."""

    name: str = Field(examples=["snn.0.lif1"])
    shape: list[int] = Field(description="Channels, then bands if there are any, then positions.")
    neurons: int = Field(description="How many it has; the figures are those of all.")
    rate: float = Field(description="Spikes a neuron and step.")
    dead: int = Field(description="Neurons that never fire for this sound.")
    saturated: int = Field(description="Neurons that fire at every step.")
    first_spike: float | None = Field(
        description="Mean step of the first spike, from 1, of those that fire; null if none does."
    )
    rows: list[int] = Field(description="Which channels (times bands) are shown.")
    columns: list[int] = Field(
        description="Which positions are shown; where time steps are those of the sound, moments in a step."
    )
    spikes: list[list[int]] = Field(
        description="For each step the shown neurons that fire: row * number of columns + column, counted "
        "within what is shown."
    )


class DecisionOverTime(BaseModel):
    """How the answer comes about."""

    labels: list[str] = Field(description="The best labels after the last step, best first.")
    scores: list[list[float]] = Field(
        description="For each step the scores of the steps so far; of the newest ones, where time steps are "
        "those of the sound."
    )
    logits: list[list[float]] = Field(description="For each step what it adds.")
    settled: int = Field(description="The step, from 1, from which on the best label is the final one.")


class TwinEnergy(BaseModel):
    """What a CNN of the same layers would take."""

    energy_dense_uj: float = Field(description="Microjoules, if it multiplies by zeros too.")
    energy_uj: float | None = Field(
        None, description="Microjoules of the measured twin, which skips zeros, on average over test clips."
    )
    model: str | None = Field(None, description="That twin's name.")


class ClipEnergy(BaseModel):
    """An estimate of the arithmetic of one window of sound, by operations that are not skipped."""

    synops: int = Field(description="Synaptic operations: a weight that is not 0 meets an input that is not.")
    macs: int = Field(description="Of these, multiply-accumulates: where inputs are no spikes.")
    acs: int = Field(description="Of these, accumulates: where inputs are spikes.")
    energy_uj: float = Field(description="Microjoules, each time step in full.")
    energy_once_uj: float = Field(
        description="Microjoules, if a layer whose input is the same at each step runs once."
    )
    cnn: TwinEnergy
    pj_a_mac: float = Field(description="Picojoules of a multiply-accumulate.")
    pj_an_ac: float = Field(description="Picojoules of an accumulate.")
    constants: str = Field(description="Where these are from.")


class SpikesAnswer(BaseModel):
    """What a network's neurons do with one window of sound."""

    model: str
    start: float = Field(description="Where the window begins, in seconds.")
    end: float = Field(description="Where it ends, in seconds.")
    windows: int = Field(description="How many the sound has; the one with the clearest word is shown.")
    num_steps: int = Field(description="Time steps.")
    step_seconds: float | None = Field(
        None,
        description="How much sound a time step hears, where time steps are those of the sound; null where "
        "each hears all of the window.",
    )
    predictions: list[LabelScore]
    decision: DecisionOverTime
    layers: list[LayerSpikes] = Field(description="From the sound to the answer.")
    energy: ClipEnergy | None = Field(
        None, description="Without memory traffic, neuron updates and the front end."
    )


_EXAMPLE = {
    "model": "resmel-snn",
    "start": 0.0,
    "end": 0.75,
    "windows": 1,
    "num_steps": 2,
    "step_seconds": None,
    "predictions": WORDS,
    "decision": {
        "labels": ["yes", "left"],
        "scores": [[0.91, 0.03], [0.97, 0.01]],
        "logits": [[1.25, 0.16], [1.38, -0.02]],
        "settled": 1,
    },
    "layers": [
        {
            "name": "lif",
            "shape": [192, 13],
            "neurons": 2496,
            "rate": 0.07,
            "dead": 2186,
            "saturated": 80,
            "first_spike": 1.7,
            "rows": [0, 96],
            "columns": [0, 6],
            "spikes": [[3], [0, 3]],
        }
    ],
    "energy": {
        "synops": 11114808,
        "macs": 3867384,
        "acs": 7247424,
        "energy_uj": 24.31,
        "energy_once_uj": 11.01,
        "cnn": {"energy_dense_uj": 64.81},
        "pj_a_mac": 4.6,
        "pj_an_ac": 0.9,
        "constants": "Horowitz 2014, 45 nm, 32-bit floating point",
    },
}

# --- what the model does --------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """What a network did with one window.

    Attributes:
        row: Its spikes and logits.
        energy: An estimate of its arithmetic, see `clip_energy`; None where there is none.
    """

    row: Row
    energy: dict[str, Any] | None = None


def spikes_of(model: SnnVoice, windows: Sequence[Tensor]) -> list[Recorded]:
    """What the network does with each of W windows `[N]`.

    Raises:
        OutOfMemory: The device has no memory for so many.
    """
    with model.record_spikes() as rec:
        logits_of(model, windows)
    network = check_spiking(model.network)
    rows = [rec.row(index) for index in range(len(rec))]
    return [Recorded(row, clip_energy(network, row, model.config.metrics)) for row in rows]


def _check(model: SnnVoice, name: str) -> None:
    if not isinstance(model.network, SpikingNetwork):
        raise RequestError(
            f"{name} has no spikes",
            hint="a spiking model; GET /models names those that are served",
            code="no_spikes",
        )


SPIKES = Work("spikes", spikes_of, check=_check)

# --- the route ------------------------------------------------------------------------------------


@sound_route(
    router,
    "/spikes",
    summary="Which neurons fire for a sound file",
    response_model=SpikesAnswer,
    example=_EXAMPLE,
    settings=("top_k", "words_only", "model"),
)
async def spikes(sound: Sound) -> bytes:
    """Send a sound as to `/classify`; the answer is what the network's neurons do with it, step by step.

    Of a sound that is longer than the model's window, the window with the clearest word is shown. Of a large
    layer some neurons are shown, evenly spread; the figures are those of all.

        curl --data-binary @yes.wav http://127.0.0.1:8000/spikes
    """
    shown = 0

    async def clearest_window() -> list[Tensor]:
        nonlocal shown
        windows = sound.prepared.windows
        if len(windows) > 1:
            scores = sound.ends.scores(await sound.logits())
            shown = clearest(sound.ends.window_answers(sound.prepared, scores))
        return [windows[shown]]

    (recorded,) = await sound.run(SPIKES, clearest_window)
    # Tens of thousands of numbers: the loop has others to serve.
    return await sound.service.in_thread(lambda: _encoded(sound, recorded, shown))


def _encoded(sound: Sound, recorded: Recorded, shown: int) -> bytes:
    config, prepared, row = sound.entry.config, sound.prepared, recorded.row
    if not bool(row.logits.isfinite().all()):
        raise too_loud("the sound")
    rate, start = config.features.sample_rate, prepared.begins[shown]
    where = {
        "model": sound.entry.name,
        "start": start / rate,
        "end": (start + prepared.length) / rate,
        "windows": len(prepared.windows),
    }
    asked = sound.question
    raster = clip_raster(
        row,
        config.labels,
        config.temperature,
        top_k=asked.top_k,
        words_only=asked.words_only,
        step_seconds=config.step_seconds,
    )
    energy = {} if recorded.energy is None else {"energy": recorded.energy}
    return encode(where | raster | energy).encode()
