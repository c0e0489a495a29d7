"""ONNX Runtime: the network as a graph, made in memory."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from snn_voice_lite.visible import module_logger
from torch import Tensor

from snn_voice_hub.errors import MissingExtraError, SnnVoiceError
from snn_voice_hub.export.onnx import (
    OPSET,
    default_clip_shape,
    export_extra,
    export_network,
    export_step,
    largest_tensor,
)
from snn_voice_hub.export.step import Step, step_of
from snn_voice_hub.inference.engines.base import (
    Engine,
    NotThisInput,
    Unsupported,
    check_unhooked,
    device_and_dtype,
)
from snn_voice_hub.inference.engines.parts import RULE, are_clips_alone, clips_together
from snn_voice_hub.inference.engines.plain import framed
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.framed import LEAD, Framed

logger = module_logger(__name__)

# Each shape of a clip needs a graph of its own. A model has one window, hence one shape; where there are
# more, as under `normalization="batch"`, a graph for each would take longer to make than it saves.
_MAX_GRAPHS = 4


@dataclass(frozen=True)
class _Graph:
    session: Any
    clips: int  # that run together; 0: the whole batch
    seconds: float  # that the export took


class OnnxEngine(Engine):
    """ONNX Runtime, on the CPU or by CUDA; see `Engine` for arguments and errors.

    It uses as many threads as PyTorch does when the engine is made. Each shape of a clip needs a graph of its
    own, made when it first comes; after the fourth, clips of yet another shape are run by PyTorch. Streams
    have one of a step, for any number of them.
    """

    name: ClassVar[str] = "onnx"

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        with export_extra('engine "onnx"'):
            import onnxruntime
        self._runtime = onnxruntime
        self._threads = torch.get_num_threads()
        self._device, dtype = device_and_dtype(network)
        if dtype != torch.float32:
            raise Unsupported(f"ONNX graphs are float32, the network is {str(dtype).removeprefix('torch.')}")
        if self._device.type not in ("cpu", "cuda"):
            raise Unsupported(f"ONNX Runtime is used on CPUs and by CUDA, the network is on {self._device}")
        self._provider = "CPUExecutionProvider" if self._device.type == "cpu" else "CUDAExecutionProvider"
        if self._provider not in onnxruntime.get_available_providers():
            raise Unsupported(f"this ONNX Runtime has no {self._provider}")
        check_unhooked(network)
        self._lock = threading.Lock()
        self._graphs: dict[tuple[int, ...], _Graph | None] = {}
        self._step: Step | str | None = None  # or why there is none
        if isinstance(network, Framed):
            network.state_layout()  # which the network keeps: it is to look as it does later
        try:
            shape = default_clip_shape(network)
            self._graphs[shape] = self._first = self._make(shape)
        except MissingExtraError:
            raise
        except Exception as error:
            raise Unsupported(_line(error)) from error

    def run(self, x: Tensor) -> Tensor:
        """See `Engine.run`."""
        if not torch.isfinite(x).all():  # a maximum of what is no number is another there
            raise NotThisInput("values that are not finite")
        graph = self._graph(self._clip_shape(x))
        if graph is None:
            return self.network.forward_encoded(x)
        x, device = x.detach().to("cpu", torch.float32), x.device
        parts = torch.split(x, graph.clips or max(1, x.shape[1]), dim=1)
        logits = [torch.from_numpy(_run(graph.session, part)) for part in parts]
        return torch.cat(logits).to(device)

    def advance(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `Engine.advance`."""
        network = framed(self.network)
        if not torch.isfinite(x).all() or (state is not None and not torch.isfinite(state).all()):
            raise NotThisInput("values that are not finite")
        step, device = self._one_step(network), x.device
        if state is None:
            state = x.new_zeros(x.shape[1], network.state_size())
        x, after = (tensor.detach().to("cpu", torch.float32) for tensor in (x, state))
        outputs = []
        for frames in x:
            logits, after = step(frames, after)
            outputs.append(logits)
        return torch.stack(outputs).to(device), after.to(device)

    def details(self) -> dict[str, Any]:
        """See `Engine.details`."""
        return {
            "onnxruntime": self._runtime.__version__,
            "provider": self._provider,
            "opset": OPSET,
            "export_seconds": round(self._first.seconds, 2),
            "clips_per_run": self._first.clips or "all",
            "clips_per_run_rule": RULE,
            "session_threads": self._threads,
        }

    def _one_step(self, network: Framed) -> Step:
        with self._lock:
            if self._step is None:
                try:
                    self._step = step_of(self._session(export_step(network)))
                except Exception as error:
                    self._step = _line(error)
            if isinstance(self._step, str):
                raise Unsupported(self._step)
            return self._step

    def _clip_shape(self, x: Tensor) -> tuple[int, ...]:
        """Shape of the clips' features, without batch and channel, as far as a graph depends on it."""
        if isinstance(self.network, Framed):
            bands, frames = x.shape[3:]
            return (bands, len(x) * frames + LEAD)
        return tuple(x.shape[3:])

    def _graph(self, shape: tuple[int, ...]) -> _Graph | None:
        """The graph for clips of that shape; None where PyTorch is to run them."""
        if shape in self._graphs:
            return self._graphs[shape]
        with self._lock:
            if shape not in self._graphs:
                if len(self._graphs) >= _MAX_GRAPHS:
                    return None
                try:
                    self._graphs[shape] = self._make(shape)
                except Exception as error:
                    logger.warning("PyTorch runs clips of shape %s: %s", list(shape), _line(error))
                    self._graphs[shape] = None
            return self._graphs[shape]

    def _make(self, shape: tuple[int, ...]) -> _Graph:
        started = time.perf_counter()
        model = export_network(self.network, clip_shape=shape)
        on_cpu = self._device.type == "cpu"
        clips = clips_together(self.network, 4 * largest_tensor(model)) if on_cpu else 0
        seconds = time.perf_counter() - started
        session = self._session(model)
        if clips:
            steps, _, *one = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
            whole = (steps, *one)
            clips *= are_clips_alone(lambda x: torch.from_numpy(_run(session, x)), whole, 0)
        return _Graph(session, clips, seconds)

    def _session(self, model: Any) -> Any:
        runtime = self._runtime
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # Waiting threads would burn the time of others on a shared machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # The graph's own order, where what a step makes is used at once; the default runs from the back.
        options.execution_order = runtime.ExecutionOrder.PRIORITY_BASED
        provider: Any = self._provider
        if self._device.type != "cpu":
            # TF32 would round the currents to 10 bits.
            provider = (provider, {"device_id": self._device.index or 0, "use_tf32": "0"})
        session: Any = runtime.InferenceSession(model.SerializeToString(), options, providers=[provider])
        if self._provider not in session.get_providers():
            raise SnnVoiceError(f"ONNX Runtime could not start its {self._provider}")
        return session


def _run(session: Any, x: Tensor) -> NDArray[Any]:
    logits: NDArray[Any] = session.run(None, {"input": x.contiguous().numpy()})[0]
    return logits


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
