"""One step of a network on frames as an ONNX file, for sound that goes on: a state goes in and comes out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.export.agreement import Agreement, agreement
from snn_voice_hub.export.onnx import describe, export_extra, export_step, plain_copy
from snn_voice_hub.export.whole import Exported, facts, graph_inputs
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import LEAD, Framed
from snn_voice_hub.tensors import FLOAT32
from snn_voice_hub.writing import check_target, write_whole

# One step: frames and state -> logits and the next state.
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def export_onnx_step(
    network: Network, config: VoiceConfig, path: str | os.PathLike[str], *, int8: bool = False
) -> Exported:
    """Write one step of a network on frames as an ONNX file.

    Its inputs are `frames` `[batch, 1, n_mels, frames_per_step]`, the next ones of what `SnnVoice.features`
    gives, and `state` `[batch, n]`, zeros where a stream begins; its outputs are `logits` of this step,
    `[batch, classes]`, and `next_state`. An answer is the softmax of the newest `num_steps` logits' sum,
    divided by the temperature. Labels, front end, temperature and a state's layout are in its metadata.

    Args:
        network: The network; exported as in evaluation mode, in float32.
        config: The model's configuration.
        path: The file.
        int8: Keep the weights as int8 with a scale for each channel; computation stays in float32.

    Raises:
        MissingExtraError: The extra `[export]` is not installed.
        SnnVoiceError: The network hears windows, it can't be exported, the file does not answer as PyTorch
            does, or it can't be written.
    """
    target = check_target(path)
    content, found = step_file(network, config, int8=int8)
    write_whole(target, content)
    return Exported(target, len(content), found)


def step_file(
    network: Network,
    config: VoiceConfig,
    *,
    int8: bool = False,
    more: Mapping[str, str] | None = None,
    at_once: bool = False,
) -> tuple[bytes, Agreement]:
    """The content of the file of `export_onnx_step`, compared with PyTorch.

    Args:
        network: See there.
        config: See there.
        int8: See there.
        more: Texts by name, for the metadata.
        at_once: Any number of steps in a run; see `export_step`.

    Raises:
        MissingExtraError: See there.
        SnnVoiceError: See there.
    """
    with export_extra("export to ONNX"):
        import onnxruntime

    from snn_voice_hub.export.int8 import store_as_int8

    if not isinstance(network, Framed):
        raise SnnVoiceError(
            f"{type(network).__name__} can't be exported as one step: it hears a window of sound at each of "
            "its steps, and keeps nothing from one window to the next",
            hint="without --step; a network on frames has such a step",
            code="not_exportable",
        )
    twin = plain_copy(network)
    assert isinstance(twin, Framed)
    model = export_step(twin, at_once=at_once)
    describe(model, facts(twin, config) | _facts(twin, config) | dict(more or {}))
    if int8:
        store_as_int8(model)
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = _checked(twin, config, step_of(session, at_once=at_once))
    if not int8 and not found.good:
        raise SnnVoiceError(f"the exported graph does not answer as PyTorch does: {found}", code="not_equal")
    return content, found


def step_of(session: Any, *, at_once: bool = False) -> Step:
    """A session of ONNX Runtime as a step, of tensors on the CPU; `at_once` as in `export_step`."""

    def step(frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        heard = frames.unsqueeze(0) if at_once else frames
        given = {"frames": heard.contiguous().numpy(), "state": state.contiguous().numpy()}
        logits, after = session.run(["logits", "next_state"], given)
        return torch.from_numpy(logits[0] if at_once else logits), torch.from_numpy(after)

    return step


def _facts(network: Framed, config: VoiceConfig) -> dict[str, str]:
    c = config.features
    return {
        "features": json.dumps(dataclasses.asdict(c)),
        "step_seconds": repr(network.frames_per_step * c.hop_length / c.feature_rate),
        "lead_frames": str(LEAD),
        "state": json.dumps(network.state_layout()),
    }


def _checked(network: Framed, config: VoiceConfig, step: Step) -> Agreement:
    """Compare with PyTorch, step by step through the built-in signals, in two sizes of batch."""
    with torch.inference_mode(False), torch.no_grad():
        x = network.encoded(graph_inputs(config, features_outside=True))
        expected = network.forward_encoded(x)
        found = []
        for part in (x[:, :1], x[:, 1:]):
            state = torch.zeros(part.shape[1], network.state_size(), **FLOAT32)
            outputs = []
            for frames in part:
                logits, state = step(frames, state)
                outputs.append(logits)
            found.append(torch.stack(outputs[-network.num_steps :]).sum(0))
    return agreement(torch.cat(found), expected)
