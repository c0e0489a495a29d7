"""What a checkpoint is worth: accuracy, calibration, noise, silence, spikes, time. Nobody types a figure."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor

from snn_voice_hub.config import DetectionConfig, VoiceConfig, is_word
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.hub.checkpoints import local_path
from snn_voice_hub.hub.choice import CONFIG_FILE, WEIGHTS_FILE
from snn_voice_hub.hub.local import exists, is_checkpoint, named_path
from snn_voice_hub.inference.windows import split
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.training.clips.cutting import windows as other_speech
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.clips.negatives import Negatives
from snn_voice_hub.training.measuring.confusion import Confusion
from snn_voice_hub.training.measuring.evaluation import Evaluation
from snn_voice_hub.training.measuring.held_out import load_test
from snn_voice_hub.training.measuring.listening import listen, rounded
from snn_voice_hub.training.measuring.logits import clip_logits, logits_of
from snn_voice_hub.training.measuring.metrics import accuracy, fit_temperature
from snn_voice_hub.training.measuring.robustness import robustness
from snn_voice_hub.voice import SnnVoice
from snn_voice_hub.writing import writing_into

# What few validation clips say about the scores has little weight against these.
_PRIOR_CLIPS = 10.0


def calibrated(model: SnnVoice, clips: Clips) -> VoiceConfig:
    """A model's configuration with the temperature that fits validation clips, and how it does on them.

    Args:
        model: The model.
        clips: Clips that it has not learned from; it knows all their words.
    """
    logits = clip_logits(model, clips)
    targets = torch.tensor([model.labels.index(word) for word in clips.labels], device="cpu")
    temperature = fit_temperature(logits, targets, _PRIOR_CLIPS)
    figures = accuracy(logits, clips.labels, model.labels, temperature)
    metrics = {**model.config.metrics, "validation": figures}
    return dataclasses.replace(model.config, temperature=temperature, metrics=metrics)


@torch.inference_mode()
def spike_rates(model: SnnVoice, clips: Clips, count: int = 256) -> dict[str, float] | None:
    """Share of neurons that fire a step, by layer, over `count` clips; None for a CNN."""
    if not isinstance(model.network, SpikingNetwork):
        return None
    picks = np.random.default_rng(0).choice(len(clips), min(count, len(clips)), replace=False)
    sums: dict[str, list[float]] = {}

    def tap(name: str, tensor: Tensor) -> None:
        if not name.endswith(".mem"):
            sums.setdefault(name, []).append(float(tensor.mean()))

    for part in np.array_split(picks, max(1, len(picks) // 32)):
        model.network.forward_steps(model.features(clips.batch(part).to(model.device)), tap=tap)
    return {name: round(float(np.mean(values)), 4) for name, values in sums.items()}


def false_alarms(
    model: SnnVoice, recordings: Mapping[str, Tensor], other: Clips | None = None
) -> dict[str, dict[str, float]]:
    """How sure the model is of a word where none of its words is said.

    Args:
        model: The model.
        recordings: Background recordings `[N]` by name; digital silence is added.
        other: Windows of other speech.

    Returns:
        For each, the other speech as "other_speech": number of windows, the highest word score that 95 % of
        windows stay below, and the share of windows below 0.5.
    """
    size = model.config.features.num_samples
    word = torch.tensor([is_word(label) for label in model.labels], device="cpu")
    if not word.any():
        return {}
    sounds = {
        name: torch.split(split(wave, size, size // 2, 0)[0], 32)
        for name, wave in {"digital_silence": torch.zeros(size, **FLOAT32), **recordings}.items()
    }
    if other is not None and len(other):
        sounds["other_speech"] = tuple(other.batches(32))
    found = {}
    for name, windows in sounds.items():
        logits = logits_of(model, windows)
        top = (logits / model.config.temperature).softmax(1)[:, word].amax(1)
        found[name] = {
            "windows": len(logits),
            "score_95": round(float(top.quantile(0.95)), 4),
            "below_half": round(float((top < 0.5).float().mean()), 4),
        }
    return found


@torch.inference_mode()
def latency(model: SnnVoice, clips: Clips, count: int = 50) -> dict[str, float]:
    """Median CPU milliseconds of one thread from WAV bytes to label, one clip at a time."""
    files = []
    for row in clips.waveforms[:count]:
        buffer = io.BytesIO()
        soundfile.write(buffer, row, model.sample_rate, format="WAV")
        files.append(buffer.getvalue())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model.classify(files[0])
        spent = []
        for data in files:
            began = time.process_time()
            model.classify(data)
            spent.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    return {"cpu_ms_one_clip": round(1000 * float(np.median(spent)), 2)}


def measure(
    model: SnnVoice,
    clips: Clips,
    recordings: Mapping[str, Tensor] | None = None,
    *,
    negatives: Negatives | None = None,
    quick: bool = False,
) -> Evaluation:
    """Measure a model over labelled clips.

    Args:
        model: The model.
        clips: Clips of its rate and length.
        recordings: Background recordings `[N]` by name, for false alarms and as noise behind the clips. To
            be fair they are such that the model was not trained with.
        negatives: Speech without the model's words, noise and music, for false alarms an hour.
        quick: Leave out accuracy under noise and shifts, which takes nine more passes over the clips.

    Returns:
        What was measured.

    Raises:
        SnnVoiceError: None of the clips holds a word of the model.
    """
    if not set(clips.labels) & set(model.labels):
        raise SnnVoiceError(
            "none of the clips holds one of the model's words",
            hint=f"folders named by word; the model knows {', '.join(model.labels[:5])}, …",
        )
    logits = clip_logits(model, clips)
    figures = accuracy(logits, clips.labels, model.labels, model.config.temperature)
    figures["skipped"] = len(clips.skipped)
    notes = []
    if unknown := figures.get("unknown_words"):
        notes.append(
            f"{sum(unknown.values())} clips count as wrong, since the model does not know their words: "
            f"{', '.join(unknown)}"
        )
    rates = spike_rates(model, clips)
    if rates is not None:
        figures["spike_rates"] = rates
    if model.device.type == "cpu":
        figures |= latency(model, clips)
    other = None
    if negatives is not None:
        other = other_speech(negatives, model.labels, model.config.features.num_samples)
    figures["false_alarms"] = false_alarms(model, recordings or {}, other)
    if not quick:
        figures["robustness"] = robustness(model, clips, recordings, told=notes.append)
    sounds, point = None, model.config.detection or DetectionConfig()
    if negatives is not None:
        sounds = listen(model, clips, _noises(recordings or {}), negatives)
        figures["listening"] = rounded(sounds.figures(point))
    confusion = Confusion.of(logits, clips.labels, model.labels)
    return Evaluation(
        figures=figures,
        sounds=sounds,
        point=point,
        words=confusion.per_word(),
        confusion=confusion,
        skipped=list(clips.skipped),
        notes=notes,
    )


def _noises(recordings: Mapping[str, Tensor]) -> list[npt.NDArray[np.float32]]:
    return [np.asarray(wave.numpy(), np.float32) for wave in recordings.values()]


def listening(
    model: SnnVoice, clips: Clips, recordings: Mapping[str, Tensor], negatives: Negatives
) -> VoiceConfig:
    """A model's configuration with how it does where it listens, and on other speech; all else stays.

    Args:
        model: The model.
        clips: Clips of words, of people whom it has not heard; of its rate and length.
        recordings: Background recordings `[N]` by name, behind the words.
        negatives: Sound without its words, such that it has not heard.
    """
    sounds = listen(model, clips, _noises(recordings), negatives)
    found = rounded(sounds.figures(model.config.detection or DetectionConfig()))
    metrics = model.config.metrics
    other = other_speech(negatives, model.labels, model.config.features.num_samples)
    alarms = false_alarms(model, {}, other)
    test = dict(metrics.get("test", {}))
    test["false_alarms"] = test.get("false_alarms", alarms) | {
        name: told for name, told in alarms.items() if name == "other_speech"
    }
    test["listening"] = found
    return dataclasses.replace(model.config, metrics={**metrics, "test": test})


def evaluate(
    model: SnnVoice,
    data: Path,
    *,
    noise: Path | Mapping[str, Tensor] | None = None,
    negatives: Negatives | None = None,
    words: bool = False,
    quick: bool = False,
) -> dict[str, Any]:
    """The figures of `measure`, over clips of the disk.

    Args:
        model: The model.
        data: See `load_test`.
        noise: A folder or tar of background recordings, or recordings `[N]` by name.
        negatives: See `measure`.
        words: Whether to add precision and recall of each word.
        quick: Leave out accuracy under noise and shifts.

    Returns:
        Figures by name, ready for JSON.

    Raises:
        SnnVoiceError: The data can't be read, or hold none of the model's words.
    """
    c = model.config.features
    clips, recordings = load_test(
        data,
        noise if isinstance(noise, Path) else None,
        sample_rate=c.sample_rate,
        num_samples=c.num_samples,
    )
    heard = noise if isinstance(noise, Mapping) else recordings
    measured = measure(model, clips, heard, negatives=negatives, quick=quick)
    return measured.figures | ({"words": measured.words} if words else {})


def own_folder(model: str) -> Path:
    """The checkpoint folder that figures may be written to.

    Args:
        model: What the user named.

    Raises:
        SnnVoiceError: It is a bundled model, a Hub id, or no checkpoint folder.
    """
    folder = named_path(model)
    hint = "name a checkpoint folder of your own; `snn-voice pull` makes one"
    inside = folder.resolve().is_relative_to(bundled_root().resolve())
    if inside or (local_path(model) is None and model in bundled_names()):
        raise SnnVoiceError(f"{model} is bundled: its figures can't be written", hint=hint)
    if is_checkpoint(folder):
        return folder
    what = "is no folder with" if exists(folder) else "is no folder on this disk; wanted is one with"
    raise SnnVoiceError(
        f"figures can't be written: {model} {what} {CONFIG_FILE} and {WEIGHTS_FILE}", hint=hint
    )


def write_metrics(folder: Path, figures: Mapping[str, Any], parameters: int) -> VoiceConfig:
    """Put figures into a checkpoint's configuration, from which its card is made.

    `metrics.test` is replaced as a whole; other metrics stay. At no time is there a half of the file.

    Args:
        folder: Checkpoint folder.
        figures: Of `measure`.
        parameters: Number of trained values.

    Returns:
        The configuration as it was written.

    Raises:
        SnnVoiceError: The folder can't be written.
    """
    config = VoiceConfig.load(folder / CONFIG_FILE)
    metrics = {**config.metrics, "parameters": parameters, "test": dict(figures)}
    config = dataclasses.replace(config, metrics=metrics)
    with writing_into(folder / CONFIG_FILE, "a folder of your own"):
        config.save(folder / CONFIG_FILE)
    return config
