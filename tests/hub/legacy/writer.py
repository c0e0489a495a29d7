"""Writes checkpoints as Lightning 1.8 did for the paper's code, with neither of them installed.

The pickles name the original's modules and torch's optimizer and scheduler, refer to a bound method (hence
to `getattr`), hold the optimizer's state beside the weights, and tag tensors with a GPU.
"""

from __future__ import annotations

import math
import pickle
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.hub.paper import LAYOUTS

ARCHITECTURES = tuple(layout.architecture for layout in LAYOUTS)
REPLICAS = "snn_voice.utils.time_step_replica"

# Under other names than their own, these are pickled as what the paper's environment had under them.
_written_as: dict[Any, tuple[str, str]] = {}


def written_as(module: str, name: str = "") -> Callable[[Any], Any]:
    def note(thing: Any) -> Any:
        _written_as[thing] = (module, name or thing.__name__)
        return thing

    return note


@written_as("torch.optim.adam")
class Adam:
    pass


@written_as("torch.optim.lr_scheduler")
class OneCycleLR:
    def _annealing_cos(self, start: float, end: float, share: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class AttributeDict(dict[str, Any]):
    """What Lightning makes of hyper-parameters that are given as a dict."""


@written_as(REPLICAS)
def repeat_replica() -> None: ...


@written_as(REPLICAS)
def rate_replica() -> None: ...


@written_as(REPLICAS)
def latency_replica() -> None: ...


REPLICA = {"repeat": repeat_replica, "rate": rate_replica, "latency": latency_replica}
written_as("pytorch_lightning.utilities.parsing")(AttributeDict)


class _Pickler(pickle._Pickler):  # the one in Python, whose steps can be replaced
    location = "cpu"

    def save_global(self, obj: Any, name: str | None = None) -> None:
        known = _written_as.get(obj)
        if known is None:
            super().save_global(obj, name)
            return
        self.write(b"c%s\n%s\n" % (known[0].encode(), known[1].encode()))
        self.memoize(obj)

    def save_pers(self, pid: Any) -> None:
        if self.location != "cpu":
            kind, storage, key, _, *rest = pid
            pid = (kind, storage, key, self.location, *rest)
        super().save_pers(pid)

    # Looked up by `save` for these types, not as attributes.
    dispatch = pickle._Pickler.dispatch | {types.FunctionType: save_global, type: save_global}


def save(content: Any, path: Path, *, location: str = "cpu", zipped: bool = True) -> Path:
    """`torch.save` with the replaced names."""

    class Pickler(_Pickler):
        pass

    Pickler.location = location

    def dump(obj: Any, file: Any, protocol: int) -> None:
        Pickler(file, protocol).dump(obj)

    module = types.SimpleNamespace(Pickler=Pickler, dump=dump, __name__="pickle")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        content,
        path,
        pickle_module=module,
        pickle_protocol=2,
        _use_new_zipfile_serialization=zipped,
    )
    return path


def network(name: str, *, seed: int = 0, **arguments: Any) -> sv.Network:
    """One of the paper's networks with the paper's neuron and random weights, running averages and all."""
    if not name.endswith("CNN") or name.endswith("SCNN"):
        arguments = {"reset": "subtract-before-decay", "surrogate": "heaviside", **arguments}
    torch.manual_seed(seed)
    made: sv.Network = getattr(sv, name)(**arguments)
    with torch.no_grad():
        for key, value in made.state_dict().items():
            leaf = key.rpartition(".")[2]
            if leaf in ("running_mean", "running_var", "num_batches_tracked"):
                value.copy_(torch.rand(value.shape) + 0.5 if value.ndim else torch.tensor(663))
            learned = (leaf == "beta" and getattr(made, "learn_beta", False)) or (
                leaf == "threshold" and getattr(made, "learn_threshold", False)
            )
            if learned:
                value.copy_(torch.rand(()) * 0.6 + 0.3)
    return made.eval()


def original_state(made: sv.Network) -> OrderedDict[str, Tensor]:
    """The state dict as the original's module has it: its order, snnTorch 0.5's own buffer, metadata."""
    trained = {key for key, _ in made.named_parameters()}
    state: OrderedDict[str, Tensor] = OrderedDict()
    own = made.state_dict()
    for key, value in own.items():
        layer, _, leaf = key.rpartition(".")
        if leaf not in ("beta", "threshold"):
            state[key] = value
        elif leaf == "beta":
            continue  # with its threshold, which comes right before it
        else:
            entries = {
                key: value,
                f"{layer}.reset_mechanism_val": torch.tensor(0),
                f"{layer}.beta": own[f"{layer}.beta"],
            }
            state |= dict(sorted(entries.items(), key=lambda entry: entry[0] not in trained))
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return state


def hyper_parameters(made: sv.Network) -> dict[str, Any]:
    found: dict[str, Any] = {
        "lr": 0.01,
        "one_cycle_kwargs": {"pct_start": 0.2, "final_div_factor": 1e5},
        "n_classes": made.num_classes,
    }
    if type(made).__name__.startswith("Tcy"):
        found["n_channels"] = 10
    if isinstance(made, sv.SpikingNetwork):
        found |= {
            "n_steps": made.num_steps,
            "time_step_replica": REPLICA[made.encoding],
            "learn_beta": made.learn_beta,
            "learn_thres": made.learn_threshold,
            "beta": made.beta,
        }
    return found


def checkpoint(made: sv.Network, *, moments: bool = True) -> dict[str, Any]:
    """What Lightning keeps of a finished epoch.

    Args:
        made: The network.
        moments: With Adam's two moments, twice the size of the weights.
    """
    state = original_state(made)
    parameters = [torch.nn.Parameter(state[key]) for key, _ in made.named_parameters()]
    group = {"lr": 4e-9, "betas": (0.95, 0.999), "weight_decay": 1e-4, "amsgrad": False, "foreach": None}
    averages: dict[int, dict[str, Tensor]] = {
        i: {"step": torch.tensor(6.0), "exp_avg": torch.randn_like(p), "exp_avg_sq": torch.rand_like(p)}
        for i, p in enumerate(parameters if moments else [])
    }
    optimizer, scheduler = Adam(), OneCycleLR()
    optimizer.__dict__.update(
        defaults={"lr": 0.01},
        state=defaultdict(dict, {parameters[i]: found for i, found in averages.items()}),
        param_groups=[{"params": parameters, **group}],
    )
    steps = {
        "total_steps": 6,
        "anneal_func": scheduler._annealing_cos,
        "base_lrs": [0.0004],
        "_last_lr": [4e-9],
    }
    scheduler.__dict__.update(optimizer=optimizer, **steps)
    return {
        "epoch": 1,
        "global_step": 6,
        "pytorch-lightning_version": "1.8.6",
        "state_dict": state,
        "loops": {"fit_loop": {"epoch_progress": {"current": {"ready": 2, "completed": 1}}}},
        "callbacks": {
            "EarlyStopping{'monitor': 'val_loss', 'mode': 'min'}": {
                "best_score": torch.tensor(1.5, dtype=torch.float64),
                "patience": 5,
            }
        },
        "optimizer_states": [
            {"state": averages, "param_groups": [{**group, "params": list(range(len(parameters)))}]}
        ],
        "lr_schedulers": [steps],
        "hparams_name": "kwargs",
        "hyper_parameters": hyper_parameters(made),
    }


def write(
    made: sv.Network,
    path: Path,
    *,
    location: str = "cuda:2",
    moments: bool = True,
    zipped: bool = True,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write the checkpoint of a network.

    Args:
        made: The network.
        path: The file; its folder is made.
        location: Device tag of its tensors.
        moments: See `checkpoint`.
        zipped: As torch does since 1.6.
        changes: Other values for the checkpoint's fields; None leaves one out.
    """
    content = checkpoint(made, moments=moments) | dict(changes or {})
    content = {key: value for key, value in content.items() if value is not None}
    return save(content, path, location=location, zipped=zipped)
