"""What a checkpoint is worth: accuracy, calibration, silence, spikes, time. Nobody types a figure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from snn_voice_hub.config import is_word
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.windows import split
from snn_voice_hub.models.network import SpikingNetwork
from snn_voice_hub.training.data import COVERED, Clips, load_clips, load_noise
from snn_voice_hub.voice import SnnVoice

Bools = npt.NDArray[np.bool_]

# Where a few clips are all right, or all wrong, the best temperature is 0 or infinite.
_TEMPERATURES = (0.05, 20.0)


@torch.no_grad()
def clip_logits(model: SnnVoice, clips: Clips, batch_size: int = 64) -> Tensor:
    """Raw logits `[n, C]` of every clip, on the CPU."""
    parts = [
        model(clips.batch(slice(i, i + batch_size)).to(model.device)).float().cpu()
        for i in range(0, len(clips), batch_size)
    ]
    return torch.cat(parts)


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature that minimises the cross-entropy on held-out clips (Guo et al., 2017)."""
    log_t = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], lr=0.1, max_iter=100)

    def closure() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits / log_t.exp(), targets)
        torch.autograd.backward(loss)
        return float(loss.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    low, high = _TEMPERATURES
    return round(min(high, max(low, float(log_t.detach().exp()))), 4)


def expected_calibration_error(scores: Tensor, right: Tensor, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of confidence, weighted by their clips."""
    index = (scores * bins).long().clamp(max=bins - 1)
    total = torch.zeros(())
    for b in torch.unique(index):
        inside = index == b
        total += (scores[inside].mean() - right[inside].float().mean()).abs() * inside.float().mean()
    return float(total)


def accuracy(
    logits: Tensor, words: Sequence[str], labels: Sequence[str], temperature: float
) -> dict[str, Any]:
    """Figures over labelled clips; a clip whose word the model does not know counts as wrong.

    Args:
        logits: `[n, C]`.
        words: The n true words.
        labels: The model's C labels.
        temperature: Of the model.

    Returns:
        Top-1 and top-5 over all clips, mean top-1 over the covered words, top-1 over the thin words (all
        their clips together), calibration error, and n of each.
    """
    index = {label: i for i, label in enumerate(labels)}
    targets = torch.tensor([index.get(word, -1) for word in words])
    order = logits.argsort(1, descending=True)
    right = order[:, 0] == targets
    among5 = (order[:, :5] == targets[:, None]).any(1)
    hits: Bools = right.numpy()
    names = np.array(words)
    covered = [word for word in COVERED if (names == word).any()]
    thin = ~np.isin(names, COVERED)
    confidence = (logits / temperature).softmax(1).amax(1)
    figures: dict[str, Any] = {
        "top1": float(hits.mean()),
        "top5": float(among5.float().mean()),
        "covered_mean": float(np.mean([hits[names == word].mean() for word in covered])) if covered else None,
        "thin_top1": float(hits[thin].mean()) if thin.any() else None,
        "calibration_error": expected_calibration_error(confidence, right),
        "clips": len(words),
        "covered_words": len(covered),
        "thin_clips": int(thin.sum()),
    }
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}


def per_word(logits: Tensor, words: Sequence[str], labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Recall and number of clips of each true word."""
    guesses = np.array([labels[int(i)] for i in logits.argmax(1)])
    names = np.array(words)
    return {
        word: {
            "recall": round(float((guesses[names == word] == word).mean()), 4),
            "clips": int((names == word).sum()),
        }
        for word in sorted(set(words))
    }


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


def false_alarms(model: SnnVoice, recordings: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """How sure the model is of a word where nobody speaks.

    Args:
        model: The model.
        recordings: Background recordings `[N]` by name; digital silence is added.

    Returns:
        For each: number of windows, the highest word score that 95 % of windows stay below, and the share
        of windows below 0.5.
    """
    size = model.config.features.num_samples
    word = torch.tensor([is_word(label) for label in model.labels])
    found = {}
    for name, wave in {"digital_silence": torch.zeros(size), **recordings}.items():
        windows, _ = split(wave, size, size // 2, 0)
        with torch.inference_mode():
            logits = torch.cat(
                [model(part.to(model.device)).float().cpu() for part in torch.split(windows, 32)]
            )
        top = (logits / model.config.temperature).softmax(1)[:, word].amax(1)
        found[name] = {
            "windows": len(windows),
            "score_95": round(float(top.quantile(0.95)), 4),
            "below_half": round(float((top < 0.5).float().mean()), 4),
        }
    return found


@torch.inference_mode()
def latency(model: SnnVoice, clips: Clips, count: int = 50) -> dict[str, float]:
    """Median CPU milliseconds of one thread from WAV bytes to label, one clip at a time."""
    import io

    import soundfile

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


def evaluate(
    model: SnnVoice, data: Path, *, noise: Path | None = None, words: bool = False
) -> dict[str, Any]:
    """Everything that `snn-voice evaluate` prints.

    Args:
        model: The model.
        data: A folder of folders `word/clip.wav`, or a tar of one.
        noise: A folder or tar of background recordings, for false alarms.
        words: Whether to add the recall of each word.

    Returns:
        Figures by name, ready for JSON.

    Raises:
        SnnVoiceError: The data can't be read, or hold none of the model's words.
    """
    c = model.config.features
    clips = load_clips(data, sample_rate=c.sample_rate, num_samples=c.num_samples)
    if not set(clips.labels) & set(model.labels):
        raise SnnVoiceError(
            f"{data} holds none of the model's words",
            hint=f"folders named by word; the model knows {', '.join(model.labels[:5])}, …",
        )
    logits = clip_logits(model, clips)
    figures = accuracy(logits, clips.labels, model.labels, model.config.temperature)
    figures["skipped"] = len(clips.skipped)
    rates = spike_rates(model, clips)
    if rates is not None:
        figures["spike_rates"] = rates
    figures |= latency(model, clips)
    if noise is not None:
        figures["false_alarms"] = false_alarms(model, load_noise(noise, sample_rate=c.sample_rate))
    if words:
        figures["words"] = per_word(logits, clips.labels, model.labels)
    return figures
