"""How should an ONNX file compute a mel spectrogram: by the node STFT, or by a convolution with sines?

For each kind of front end of the bundled models: the features of real clips by ONNX Runtime, in both ways,
next to those of PyTorch, and of PyTorch in float64; and the time of both. Exported files do the convolution.
"""

from __future__ import annotations

import copy
import functools
import logging
import warnings
from collections.abc import Callable

import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.common import begin, interleave, load_clips, make_parser
from benchmarks.report import Report, Table
from snn_voice_hub.config import FeatureConfig
from snn_voice_hub.export.front_end import FrontEnd
from snn_voice_hub.features import Features, MelPower
from snn_voice_hub.notation import points
from snn_voice_hub.voice import SnnVoice

MODELS = ("resmel-snn", "hjh-snn")
STFT, CONVOLUTION = "node STFT", "convolution"
_BATCH = 32


class _StftMel(nn.Module):
    """Mel power by `torch.stft`, which is exported as the node STFT."""

    def __init__(self, config: FeatureConfig, mel: MelPower) -> None:
        super().__init__()
        self.config, self.mel = config, mel
        # As in the exported front end: a single 2e-16 would be dropped.
        self.register_buffer("offset", torch.full((config.n_mels, 1), config.log_offset))

    def forward(self, x: Tensor) -> Tensor:
        c = self.config
        around = c.n_fft // 2
        padded = functional.pad(x, (around, around), mode="reflect")
        spectrum = torch.stft(
            padded, c.n_fft, c.hop_length, c.n_fft, self.mel.window, center=False, return_complex=True
        )
        real, imaginary = torch.view_as_real(spectrum).unbind(-1)
        power = real * real + imaginary * imaginary
        found: Tensor = self.mel.filters.T @ power
        return found


def stft_front_end(config: FeatureConfig) -> FrontEnd:
    """The exported front end, but for its Fourier transform."""
    front_end = FrontEnd(config)
    front_end._mel = _StftMel(config, MelPower(config))  # type: ignore[assignment]
    return front_end


def runner(module: nn.Module, waves: Tensor) -> tuple[Callable[[Tensor], Tensor], list[str]]:
    """What runs a module's ONNX graph, and the kinds of its nodes."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (waves[:2],),
            dynamo=True,
            verbose=False,
            opset_version=18,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["waveforms"],
        )
    assert program is not None
    model = program.model_proto
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    kinds = sorted({node.op_type for node in model.graph.node})
    return lambda x: torch.from_numpy(session.run(None, {"waveforms": x.numpy()})[0]), kinds


class Double(Features):
    """The front end in float64, resampling and all."""

    def forward(self, waveforms: Tensor) -> Tensor:
        """See `Features.forward`, which would round the sound to float32."""
        x = self._standardise_waveform(self._resample(waveforms))
        return self.of_power(self.mel(x), self.config.log_offset)


def exact(config: FeatureConfig) -> nn.Module:
    """Features in float64."""
    return copy.deepcopy(Double(config)).double()


def main() -> None:
    """Command line."""
    parser = make_parser(__doc__, clips=256)
    given = begin(parser)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # what it lacks from torchvision
    waves = load_clips(given.data, given.clips, given.cache).batch(slice(None))
    report = Report("onnx_features", "The front end in ONNX", given.out)
    report.add(
        f"{len(waves)} test clips; one thread; batch of {_BATCH} for the times, medians of CPU milliseconds "
        "a clip. Differences are the largest of any feature of any clip, and the share of clips in which "
        "one is over 1e-3."
    )
    table = Table(
        "front end",
        "Fourier transform",
        "from PyTorch",
        "clips over 1e-3, %",
        "from float64",
        "PyTorch from float64",
        "ms a clip",
        "PyTorch, ms",
    )
    for name in MODELS:
        config = SnnVoice.from_pretrained(name).config.features
        ours, double = Features(config), exact(config)
        with torch.inference_mode(False), torch.no_grad():
            ways: dict[str, nn.Module] = {STFT: stft_front_end(config), CONVOLUTION: FrontEnd(config)}
            calls = {way: runner(module, waves) for way, module in ways.items()}
            parts = waves.split(_BATCH)  # type: ignore[no-untyped-call]
            expected = torch.cat([ours(part) for part in parts])
            truth = torch.cat([double(part.double()) for part in parts])
            found = {way: torch.cat([call(part) for part in parts]) for way, (call, _) in calls.items()}
        assert "STFT" in calls[STFT][1], calls[STFT][1]
        assert "STFT" not in calls[CONVOLUTION][1]
        timed: dict[str, Callable[[], object]] = {
            way: functools.partial(call, waves[:_BATCH]) for way, (call, _) in calls.items()
        }
        timed["torch"] = functools.partial(ours, waves[:_BATCH])
        with torch.inference_mode():
            times = interleave(timed, seconds=given.seconds, rounds=given.rounds)
        for way in ways:
            apart = (found[way] - expected).abs().flatten(1).amax(1)
            table.add(
                f"log-mel {config.n_mels}, {config.feature_rate} Hz, offset {config.log_offset:g}",
                way,
                f"{float(apart.max()):.1e}",
                f"{points(float((apart > 1e-3).float().mean()))}",
                f"{float((found[way] - truth).abs().max()):.1e}",
                f"{float((expected - truth).abs().max()):.1e}",
                times[way].cpu_ms / _BATCH,
                times["torch"].cpu_ms / _BATCH,
            )
    report.add(table)


if __name__ == "__main__":
    main()
