"""Weights and the network that they are for: what reading checks, and so writing checks as well.

A network is known here by its state dict alone; only names, shapes and dtypes of that are looked at, so its
tensors may be on the meta device.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from snn_voice_lite.visible import module_logger
from torch import Tensor, nn

from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.dtypes import DTYPES, cast_weight
from snn_voice_hub.hub.strangers import check_file
from snn_voice_hub.notation import some

logger = module_logger(__name__)

# Modules that only put their own name before those inside them: torch.compile's, and that of parallel ones.
WRAPPERS = ("_orig_mod", "module")
# What a model with a front end, or a training module, calls its network.
_OWNER = "network."
FLOATS = (*DTYPES.values(), torch.float64)


def plain_names(names: Iterable[str], expected: Collection[str]) -> dict[str, str]:
    """The network's names for weights whose names differ from them by wrappers alone.

    Args:
        names: As they are in a file, or in the state dict of a wrapped network.
        expected: As the network has them.

    Returns:
        Given name -> the network's; a name that has no counterpart is its own.
    """
    names = list(names)
    own = {plain_name(name): name for name in expected}
    bare = {name: plain_name(name) for name in names}
    if all(name.startswith(_OWNER) and name not in own for name in bare.values()):
        bare = {name: short.removeprefix(_OWNER) for name, short in bare.items()}
    found = {name: own.get(short, name) for name, short in bare.items()}
    # Two names for one weight say that what looks like a wrapper is none.
    clear = len(own) == len(expected) and len(set(found.values())) == len(names)
    return found if clear else {name: name for name in names}


def plain_name(name: str) -> str:
    """A weight's name without those of wrappers around it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def read_tensors(path: Path, expected: Mapping[str, Tensor], unfit: str) -> dict[str, Tensor]:
    """The weights of a safetensors file, checked against a network.

    Args:
        path: The file.
        expected: The network's state dict.
        unfit: What is said where names or shapes are others.

    Returns:
        Tensors on the CPU by the network's names; float64 has become float32.

    Raises:
        CheckpointError: It can't be read, or is not of that network; see `checked`.
    """
    with _opened(path) as file:
        stored = plain_names(file.keys(), expected)
        check_names(stored.values(), expected, unfit)  # before anything large is read
        weights = {name: file.get_tensor(key) for key, name in stored.items()}
    return checked(weights, expected, unfit, where=str(path))


def stored_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a safetensors file, one after the other.

    Raises:
        CheckpointError: It can't be read.
    """
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118  (not a dict)
            yield name, file.get_tensor(name)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    check_file(path, safetensors=True)
    try:
        # The header says how long the file must be, so a cut one is found too.
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no readable safetensors file", hint="it may be damaged: fetch it again"
        ) from error


def checked(
    weights: Mapping[str, object], expected: Mapping[str, Tensor], unfit: str, *, where: str
) -> dict[str, Tensor]:
    """Weights that a network can take as they are.

    Args:
        weights: By name; names may have those of wrappers in them.
        expected: The network's state dict.
        unfit: What is said where names or shapes are others.
        where: What the weights are of, for messages on their values.

    Returns:
        Tensors on the CPU by the network's names; float64 has become float32.

    Raises:
        CheckpointError: Names or shapes are not the network's; a value is NaN or infinite; or a tensor is of
            a dtype that would have to be cast.
    """
    names = plain_names(weights, expected)
    check_names(names.values(), expected, unfit)
    found = {}
    shortened = False
    for key, value in weights.items():
        name = names[key]
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{where}: {name} is a {type(value).__name__}, no tensor")
        if value.shape != expected[name].shape:
            raise _other_shape(name, value, expected, unfit)
        found[name] = sound(where, name, value, expected[name].dtype)
        shortened = shortened or (value.dtype == torch.float64 and found[name].dtype == torch.float32)
    if shortened:
        logger.warning("%s: weights in float64 are taken as float32", where)
    return found


def sound(where: str, name: str, tensor: Tensor, wanted: torch.dtype) -> Tensor:
    """A weight on the CPU that is finite and needs no cast beyond those between floating-point numbers.

    Args:
        where: What it is of, for the message.
        name: Its name.
        tensor: The weight.
        wanted: The dtype of the network's own. A floating-point one may be float32, float16, bfloat16, or
            float64, which becomes float32; any other must be the same.

    Raises:
        CheckpointError: It is not; the message names the tensor.
    """
    if tensor.is_meta:
        raise CheckpointError(f"{where}: {name} is on the meta device and has no values")
    legal = FLOATS if wanted in FLOATS else (wanted,)
    if tensor.layout != torch.strided or tensor.dtype not in legal:
        kind = _words(tensor.dtype) + ("" if tensor.layout == torch.strided else ", not dense")
        raise CheckpointError(
            f"{where}: {name} is {kind}",
            hint="legal is " + ", ".join(_words(dtype) for dtype in legal) + "; nothing else is cast",
        )
    tensor = tensor.detach().cpu()
    if (broken := not_finite(tensor)) is not None:
        raise CheckpointError(
            f"{where}: {name} holds {broken}", hint="training diverged, or the file is damaged"
        )
    return cast_weight(where, name, tensor, torch.float32) if tensor.dtype == torch.float64 else tensor


def broken_weight(network: nn.Module) -> str:
    """The first tensor of a network that is not finite and what of it, in words; "" where all are."""
    for name, tensor in network.state_dict().items():
        if broken := not_finite(tensor.detach().cpu()):
            return f"{name} holds {broken}"
    return ""


def not_finite(tensor: Tensor) -> str | None:
    """What of a tensor on the CPU is no finite number, in words; None where all are."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if not tensor.is_floating_point() or not tensor.numel():
        return None
    if tensor.dtype.itemsize == 1:
        tensor = tensor.float()
    # aminmax() keeps NaN, and isfinite() would need another copy of the largest tensor.
    if all(math.isfinite(float(end)) for end in tensor.aminmax()):
        return None
    nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    parts = [f"{count:,} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count]
    return f"{' and '.join(parts)} of {tensor.numel():,} values"


def _words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# --- names and shapes -----------------------------------------------------------------------------


def check_names(names: Collection[str], expected: Mapping[str, Tensor], unfit: str) -> None:
    """Compare names with a network's.

    Raises:
        CheckpointError: Some are missing or unknown.
    """
    there = set(names)
    missing = [name for name in expected if name not in there]
    unknown = [name for name in names if name not in expected]
    if missing or unknown:
        found = (("lacks", missing), ("has unknown", unknown))
        parts = [f"{what} {some(names)}" for what, names in found if names]
        raise CheckpointError(f"{unfit}: it {', and '.join(parts)}", hint=_advice(missing, unknown))


def _other_shape(name: str, tensor: Tensor, expected: Mapping[str, Tensor], unfit: str) -> CheckpointError:
    wanted = expected[name].shape
    hint = "make the network with the arguments that give it these shapes"
    # The last layer is the head: it has one row a class.
    if name.rpartition(".")[0] == list(expected)[-1].rpartition(".")[0] and tensor.shape[1:] == wanted[1:]:
        hint = f"a head of other classes: make the network with num_classes={len(tensor)} and as many labels"
    what = f"{unfit}: {name} has shape {list(tensor.shape)}, the network wants {list(wanted)}"
    return CheckpointError(what, hint=hint)


# What PyTorch's tools put in the place of a weight -> what takes it away again.
_REPARAMETRISED = {
    "mask": "torch.nn.utils.prune.remove",
    "g": "torch.nn.utils.remove_weight_norm",
    "u": "torch.nn.utils.remove_spectral_norm",
}


def _advice(missing: Sequence[str], unknown: Sequence[str]) -> str:
    """What to do about weights that the network does not have, by what made them."""
    for name in unknown:
        *path, last = name.split(".")
        stem, _, ending = last.rpartition("_")
        remove, weight = _REPARAMETRISED.get(ending), stem
        if "parametrizations" in path[:-1]:
            at = path.index("parametrizations")
            path, weight = path[:at], path[at + 1]
            remove = "torch.nn.utils.parametrize.remove_parametrizations"
        elif ".".join((*path, stem)) not in missing:
            remove = None
        if remove:
            return f'{remove}({".".join(("network", *path))}, "{weight}") before it is saved'
        if "_packed_params" in name:
            return "save the network before it is quantised"
    if unknown:
        return "what is added to a network belongs to a class of its own, made known by register_architecture"
    return ""


# --- for writing ----------------------------------------------------------------------------------


def apart(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of which no two share their memory, as safetensors wants them."""
    seen: set[int] = set()
    found = {}
    for name, tensor in weights.items():
        tensor = tensor.contiguous()
        memory = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return found
