"""What the service answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class LabelScore(BaseModel):
    """One label and its score; the answer of `/classify` is a list of these, best first."""

    label: str = Field(description="A word, or a class such as `_silence_`.", examples=["yes"])
    score: float = Field(description='0 to 1; a raw logit under `function_to_apply="none"`.', examples=[0.97])


class ErrorBody(BaseModel):
    """What went wrong, for programs and for people."""

    code: str = Field(description="Short stable identifier.", examples=["not_audio"])
    message: str = Field(
        description="What was wrong.", examples=["the audio data is not sound in a known format"]
    )
    hint: str = Field(description="What would be right; may be empty.")


class ErrorAnswer(BaseModel):
    """Every answer that is not a success."""

    error: ErrorBody


class WindowScores(BaseModel):
    """The labels of one window; with `windows=true` the answer is a list of these."""

    start: float = Field(description="Where the window begins, in seconds.")
    end: float = Field(description="Where it ends, in seconds.")
    predictions: list[LabelScore]


class FileAnswer(BaseModel):
    """The answer for one file of a batch: predictions, or windows, or an error."""

    file: str = Field(description="Its name, as it was sent.")
    predictions: list[LabelScore] | None = None
    windows: list[WindowScores] | None = None
    error: ErrorBody | None = None


class BatchAnswer(BaseModel):
    """The answers for the files of a request, in order."""

    results: list[FileAnswer]


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
    columns: list[int] = Field(description="Which positions are shown.")
    spikes: list[list[int]] = Field(
        description="For each step the shown neurons that fire: row * number of columns + column, counted "
        "within what is shown."
    )


class DecisionOverTime(BaseModel):
    """How the answer comes about."""

    labels: list[str] = Field(description="The best labels after the last step, best first.")
    scores: list[list[float]] = Field(description="For each step the scores of the steps so far.")
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
    predictions: list[LabelScore]
    decision: DecisionOverTime
    layers: list[LayerSpikes] = Field(description="From the sound to the answer.")
    energy: ClipEnergy | None = Field(
        None, description="Without memory traffic, neuron updates and the front end."
    )


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The model is loaded and warm."""

    status: Literal["ready"] = "ready"
    model: str = Field(description="Name of the model.", examples=["resmel-snn"])


class ModelFacts(BaseModel):
    """What is being served."""

    name: str
    description: str
    license: str = Field(description="Licence of the weights.")
    architecture: str
    parameters: int = Field(description="Number of trained values.")
    device: str = Field(examples=["cpu"])
    engine: dict[str, Any] = Field(description="How the network is run, and why so.")
    sample_rate: int = Field(description="Rate in Hz to which sound is brought.", examples=[16000])
    window_seconds: float = Field(
        description="Length of the model's window; longer sound is read in several.", examples=[1.0]
    )
    labels: list[str] = Field(description="In index order.")
    data: list[dict[str, Any]] = Field(description="Training sound, with licence and attribution.")
    metrics: dict[str, Any] = Field(description="What was measured.")
    config: dict[str, Any] = Field(description="The checkpoint's whole `config.json`.")
    max_seconds: float = Field(description="Longest sound that is accepted.")
    max_body_bytes: int = Field(description="Largest request body that is accepted.")


class ModelEntry(BaseModel):
    """A model that is served."""

    name: str = Field(description="As requests name it.", examples=["resmel-snn"])
    default: bool = Field(description="Whether it answers where no model is named.")
    loaded: bool = Field(description="Others are loaded when they are first asked for.")


class ModelList(BaseModel):
    """All models that are served, the default first."""

    models: list[ModelEntry]


class Reloaded(BaseModel):
    """What was loaded again."""

    reloaded: list[str]
