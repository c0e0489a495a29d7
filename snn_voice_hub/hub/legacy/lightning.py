"""A Lightning checkpoint of the paper's code -> a configuration and weights.

Such a file holds no class name. The architecture follows from the names and shapes of its state dict, the
rest from its hyper-parameters. Its pickle is never run; see `hub.legacy.pickles`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import torch
from snn_voice_lite.visible import module_logger
from torch import Tensor

from snn_voice_hub.config import MAX_STEPS, SPEECH_COMMANDS, VoiceConfig, check_int
from snn_voice_hub.errors import CheckpointError, ConfigError
from snn_voice_hub.hub import paper
from snn_voice_hub.hub.legacy.archives import TorchFile, read_torch_file
from snn_voice_hub.hub.legacy.pickles import shown
from snn_voice_hub.hub.legacy.stand_ins import Name, TensorRef, unwrap
from snn_voice_hub.hub.paper import CLASSES, Layout
from snn_voice_hub.hub.weights import FLOATS, plain_name

logger = module_logger(__name__)

# What snnTorch keeps beside beta and threshold, with the only value that the paper's neuron has: reset by
# subtraction, spikes of 1. Versions before 0.6 lack the second; some keep the membrane too.
_NEURON_BUFFERS = {"reset_mechanism_val": 0.0, "graded_spikes_factor": 1.0, "mem": None}
_CONSTANTS = (".beta", ".threshold")
_NEURON_BUFFER = re.compile(rf"snn\.\d+(\.lif)?\.({'|'.join(_NEURON_BUFFERS)})")
_REPLICA = re.compile(rf"snn_voice\.utils\.time_step_replica\.({'|'.join(paper.ENCODINGS)})_replica")
# The card of `Eve-ning/snn_voice` gives these steps for its one checkpoint.
_CARD_STEPS = {"PiczakSNN": 15}


def read_lightning(
    path: Path, *, origin: str = "", num_steps: int | None = None
) -> tuple[VoiceConfig, dict[str, Tensor]]:
    """Read a Lightning checkpoint of the paper's code, or a state dict of one of its networks.

    Args:
        path: The file.
        origin: Where it lies in its repository or on a disk; a file without hyper-parameters takes the
            number of steps from `n_steps=` in it. By default `path`.
        num_steps: Time steps of a spiking network whose file does not say it.

    Returns:
        The configuration, and the network's weights: float32 on the CPU, mapped from the file, so that they
        are read when they are used. Clone what is to outlive the file.

    Raises:
        CheckpointError: Not such a file, a damaged one, one that names what no such checkpoint needs (code
            "unsafe_pickle"), a state dict of another network, or one without its number of steps.
        ConfigError: `num_steps` is not legal, or not what the file says.
    """
    origin = origin or str(path)
    file = read_torch_file(path)
    content = unwrap(file.data)
    if not isinstance(content, dict):
        raise _unfit(path, "it holds no dict")
    entries = _plain(unwrap(content.get("state_dict", content)))
    hyper = _hyper_parameters(path, content)
    layout, refs = _match(path, entries)
    num_classes = _check_shapes(path, layout, refs)
    assert isinstance(entries, dict)
    _check_neuron(path, file, entries)
    weights = {key: _tensor(file, key, ref) for key, ref in refs.items()}
    if hyper.get("n_classes", num_classes) != num_classes:
        raise _unfit(path, f"its hyper-parameters say n_classes={_brief(hyper['n_classes'])}", num_classes)
    network: dict[str, object] = {"num_classes": num_classes}
    if layout.lifs:
        steps = _num_steps(path, layout, hyper, origin, num_steps)
        network |= {"num_steps": steps, **_neuron(path, layout, hyper, weights, list(entries))}
        network |= {"encoding": _encoding(path, hyper, origin), **paper.NEURON, "beta_per_channel": False}
    elif num_steps is not None:
        raise ConfigError(
            f"{path} is a {layout.architecture} without time steps", hint="leave out num_steps="
        )
    elif hyper.get("n_steps") is not None:
        raise _unfit(
            path, f"its hyper-parameters have n_steps, its state dict is that of a {layout.architecture}"
        )
    known = num_classes == len(SPEECH_COMMANDS)
    config = VoiceConfig(
        architecture=layout.architecture,
        network=network,
        features=paper.FRONT_ENDS[layout.kind],
        labels=list(SPEECH_COMMANDS) if known else [f"class_{i}" for i in range(num_classes)],
        name=layout.checkpoint_name(network),
        description=layout.description(network),
        license=paper.LICENSE,
        data=[dict(paper.DATA)],
        training=_training(content, hyper, origin),
    )
    return config, weights


# --- the state dict -------------------------------------------------------------------------------


def _unfit(path: Path, why: str, num_classes: int | None = None) -> CheckpointError:
    if num_classes is not None:
        why = f"{why}, its state dict has {num_classes} classes"
    return CheckpointError(
        f"{path} is no usable checkpoint of the paper's code: {why}",
        hint="one of its nine networks: " + ", ".join(layout.architecture for layout in paper.LAYOUTS),
    )


def _brief(value: object) -> str:
    """A value of the file for one line; a container's text could be endless."""
    small = isinstance(value, int) and abs(value) < 2**63
    return repr(value)[:80] if small or isinstance(value, str | float | None) else f"a {type(value).__name__}"


def _plain(entries: object) -> object:
    """A state dict without the names of wrappers; anything else as it is."""
    if not isinstance(entries, dict):
        return entries
    plain = {plain_name(key) if isinstance(key, str) else key: value for key, value in entries.items()}
    return plain if len(plain) == len(entries) else entries


def _match(path: Path, entries: object) -> tuple[Layout, dict[str, TensorRef]]:
    """The architecture whose entries these are, and the entries without snnTorch's own."""
    if not isinstance(entries, dict):
        raise _unfit(path, "its state_dict is no dict")
    if "average.steps" in entries:  # what this library's training goes on from
        raise CheckpointError(
            f"{path} is the state of a training run, from which only training goes on",
            hint="open the folder of the run",
            code="run_state",
        )
    refs: dict[str, TensorRef] = {}
    for key, value in entries.items():
        if not isinstance(key, str) or not isinstance(value, TensorRef):
            raise _unfit(path, f"the entry {_brief(key)} of its state dict is no tensor with a name")
        if not _NEURON_BUFFER.fullmatch(key):
            refs[key] = value
    keys = refs.keys()
    layout = min(paper.LAYOUTS, key=lambda layout: len(layout.shapes.keys() ^ keys))
    missing = [key for key in layout.shapes if key not in keys]
    unknown = [key for key in keys if key not in layout.shapes]
    if len(missing) + len(unknown) > len(layout.shapes.keys() & keys):
        names = ", ".join(map(shown, list(keys)[:3])) or "nothing"
        raise _unfit(path, f"its state dict has {len(keys)} entries, first {names}")
    if missing:
        raise _unfit(path, f"its {layout.architecture} lacks {missing[0]}")
    if unknown:
        raise _unfit(path, f"its {layout.architecture} has the unknown entry {shown(unknown[0])}")
    return layout, refs


def _check_shapes(path: Path, layout: Layout, refs: Mapping[str, TensorRef]) -> int:
    """Compare all shapes with the architecture's; the number of classes."""
    head = refs[layout.head].shape
    num_classes = head[0] if len(head) == 1 else 0
    if num_classes < 1:
        raise _unfit(path, f"{layout.head} has shape {list(head)}, not one value a class")
    for key, shape in layout.shapes.items():
        wanted = [num_classes if size == CLASSES else size for size in shape]
        found = list(refs[key].shape)
        if found != wanted:
            raise _unfit(path, f"{key} has shape {found}, a {layout.architecture} wants {wanted}")
    return num_classes


def _check_neuron(path: Path, file: TorchFile, entries: Mapping[str, TensorRef]) -> None:
    """Refuse neurons that reset or spike otherwise than the paper's."""
    for key, ref in entries.items():
        wanted = _NEURON_BUFFERS.get(key.rpartition(".")[2])
        if wanted is None or not _NEURON_BUFFER.fullmatch(key):
            continue
        found = float(file.tensor(ref)) if ref.shape in ((), (1,)) else math.nan
        if found != wanted:
            raise _unfit(path, f"{key} is {found:g}, the paper's neuron has {wanted:g}")


def _tensor(file: TorchFile, key: str, ref: TensorRef) -> Tensor:
    whole = key.endswith(".num_batches_tracked")
    tensor = file.tensor(ref)
    # snnTorch keeps a beta or threshold that was given as a whole number as one.
    legal = (torch.int64,) if whole else (*FLOATS, *([torch.int64] if key.endswith(_CONSTANTS) else []))
    if tensor.dtype not in legal:
        kind, wanted = (str(dtype).removeprefix("torch.") for dtype in (tensor.dtype, legal[0]))
        raise _unfit(file.path, f"{key} is {kind}, not {wanted}")
    return tensor.to(legal[0]).contiguous()


# --- the configuration ----------------------------------------------------------------------------


def _hyper_parameters(path: Path, content: Mapping[object, object]) -> dict[str, object]:
    found = unwrap(content.get("hyper_parameters"))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _unfit(path, "its hyper_parameters are no dict")
    return {key: unwrap(value) for key, value in found.items() if isinstance(key, str)}


def _num_steps(
    path: Path, layout: Layout, hyper: Mapping[str, object], origin: str, given: int | None
) -> int:
    if given is not None:
        check_int("num_steps", given, low=1, high=MAX_STEPS)
    steps = hyper.get("n_steps")
    if steps is not None:
        if type(steps) is not int or not 1 <= steps <= MAX_STEPS:
            raise _unfit(path, f"its hyper-parameters say n_steps={_brief(steps)}")
        if given not in (None, steps):
            raise ConfigError(f"num_steps={given}, but {path} says {steps}", hint="leave out num_steps=")
        return steps
    if given is not None:
        return given
    if in_path := re.findall(r"n_steps=([1-9]\d{0,3})(?!\d)", origin):
        return int(in_path[-1])
    if layout.architecture in _CARD_STEPS:
        steps = _CARD_STEPS[layout.architecture]
        logger.warning(
            "%s does not say its number of time steps; taking %d, as the card of Eve-ning/snn_voice says of "
            "its Piczak SNN. num_steps= sets another.",
            path,
            steps,
        )
        return steps
    raise CheckpointError(
        f"{path} holds a {layout.architecture} but not its number of time steps",
        hint="pass num_steps= (the paper has 1, 5, 15 and 30)",
        code="needs_num_steps",
    )


def _neuron(
    path: Path, layout: Layout, hyper: Mapping[str, object], weights: Mapping[str, Tensor], order: list[str]
) -> dict[str, object]:
    """Beta and threshold: from the weights where they are fixed, else as they were before training."""
    found: dict[str, object] = {}
    for what, learn, start in (("beta", "learn_beta", 0.5), ("threshold", "learn_thres", 1.0)):
        values = [float(weights[f"{lif}.{what}"]) for lif in layout.lifs]
        learned = hyper.get(learn, _looks_learned(what, values, layout, order))
        if not isinstance(learned, bool):
            raise _unfit(path, f"its hyper-parameters say {learn}={_brief(learned)}")
        if not all(map(math.isfinite, values)) or (what == "threshold" and min(values) <= 0 and not learned):
            raise _unfit(path, f"the {what} of a layer is {min(values)}")
        number = start if learned else values[0]
        if what == "beta":
            before = hyper.get("beta")
            if learned and isinstance(before, int | float) and _is_plain(before):
                number = before
            number = min(max(number, 0.0), 1.0)  # as it is used
        # 0.9 was stored as 0.8999999762.
        found |= {what: float(f"{number:.6g}"), f"learn_{what}": learned}
    return found


def _looks_learned(what: str, values: list[float], layout: Layout, order: list[str]) -> bool:
    """Whether beta or threshold was trained, where no hyper-parameters say so."""
    if what == "threshold":  # the paper's code has no other fixed one
        return set(values) != {1.0}
    if len(set(values)) > 1:
        return True
    # A layer's parameters stand before its buffers, of which a fixed beta is the last.
    names = [key.rpartition(".")[2] for key in order if key.rpartition(".")[0] == layout.lifs[0]]
    buffer = "reset_mechanism_val" if "reset_mechanism_val" in names else "threshold"
    return names.index("beta") < names.index(buffer)


def _encoding(path: Path, hyper: Mapping[str, object], origin: str) -> str:
    replica = hyper.get("time_step_replica")
    if isinstance(replica, Name) and (known := _REPLICA.fullmatch(replica.name)):
        return known[1]
    if replica is not None:
        raise _unfit(path, f"its time_step_replica is {_brief(replica)}, not repeat, rate or latency")
    named = re.findall(rf"time_step_replica=({'|'.join(paper.ENCODINGS)})(?!\w)", origin)
    return str(named[-1]) if named else "repeat"


def _training(
    content: Mapping[object, object], hyper: Mapping[str, object], origin: str
) -> dict[str, object]:
    """What the file says of the training; nothing else is known of it."""
    cycle = hyper.get("one_cycle_kwargs")
    cycle = cycle if isinstance(cycle, dict) else {}
    group: dict[object, object] = {}
    match content.get("optimizer_states"):
        case [{"param_groups": [dict(first), *_]}, *_]:
            group = first
    facts = {
        "file": PurePosixPath(origin.replace("\\", "/")).name,
        "lightning_version": content.get("pytorch-lightning_version"),
        "epoch": content.get("epoch"),
        "global_step": content.get("global_step"),
        "lr": hyper.get("lr"),
        "weight_decay": group.get("weight_decay"),
        "pct_start": cycle.get("pct_start"),
        "final_div_factor": cycle.get("final_div_factor"),
    }
    return {key: value for key, value in facts.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    """Whether a value of the file can stand in `config.json`."""
    if isinstance(value, str):
        return len(value) <= 200 and value.isprintable()
    # In this order: isfinite() raises for a whole number that no float can hold.
    return isinstance(value, int | float) and abs(value) < 2**63 and math.isfinite(value)
