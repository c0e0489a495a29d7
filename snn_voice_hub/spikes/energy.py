"""What a network's arithmetic would cost: operations by NeuroBench's definitions, energy by two constants.

Counted are the synaptic operations of convolutions and linear layers: a weight that is not zero meets an
input that is not zero. Where all inputs of a layer are 0, 1 or -1 an operation is an accumulate (AC), else a
multiply-accumulate (MAC). Each time step counts in full, as on a chip that keeps nothing from one step to
the next. (J. Yik et al., "The NeuroBench framework for benchmarking neuromorphic computing algorithms and
systems", Nature Communications 16, 2025; compared with the package neurobench 2.3.0.)

Energy is the number of operations times what M. Horowitz, "Computing's energy problem (and what we can do
about it)", ISSCC 2014, gives for 32-bit floating point at 45 nm and 0.9 V. It is an estimate of arithmetic
alone. Left out are: memory traffic, which often costs more than arithmetic (the same source: 10 pJ to read
64 bits from a cache of 8 KB, 1,300 to 2,600 pJ from DRAM); the neurons' own updates; biases, batch norm (it
can be folded into the weights before it), pooling, means, ReLU and the sums of residual connections; the
front end that makes features of sound; addressing, control, and leakage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

# Picojoules, 32-bit floating point, 45 nm, 0.9 V: 3.7 for the product and 0.9 for the sum.
MAC_PJ = 4.6
AC_PJ = 0.9
CONSTANTS = "Horowitz 2014, 45 nm, 32-bit floating point"
LEFT_OUT = (
    "memory traffic (often more than the arithmetic), neuron updates, biases, batch norm, pooling, means, "
    "ReLU, residual sums, the front end that makes features of sound, addressing, control, leakage"
)


@dataclass(frozen=True)
class LayerEnergy:
    """Operations of one convolution or linear layer for one window of sound, over all steps.

    Attributes:
        name: The layer's name in the state dict.
        dense: Operations if nothing is skipped; the zeros of padding do not count.
        effective: Operations whose input and weight are not zero, on average over the windows; None where
            only the shapes are known.
        binary: Whether all inputs were 0, 1 or -1, so that its operations are ACs.
        constant: Whether its input is the same at each of several steps: that of the first layer under the
            encoding "repeat".
    """

    name: str
    dense: float
    effective: float | None
    binary: bool = False
    constant: bool = False

    @property
    def macs(self) -> float | None:
        """Effective MACs: those of a layer whose inputs are not binary."""
        return 0.0 if self.binary else self.effective

    @property
    def acs(self) -> float | None:
        """Effective ACs: those of a layer whose inputs are binary."""
        return self.effective if self.binary else 0.0

    @property
    def synops(self) -> float | None:
        """Synaptic operations: `effective` by NeuroBench's name."""
        return self.effective

    @property
    def energy_uj(self) -> float | None:
        """Microjoules of the effective operations; None where only the shapes are known."""
        return None if self.effective is None else self.effective * self._pj * 1e-6

    @property
    def dense_uj(self) -> float:
        """Microjoules if nothing is skipped."""
        return self.dense * self._pj * 1e-6

    @property
    def _pj(self) -> float:
        return AC_PJ if self.binary else MAC_PJ


@dataclass(frozen=True)
class LayerActivity:
    """What one layer of neurons, or one ReLU, gave out.

    Attributes:
        name: A spiking layer's name, or "relu.0", "relu.1" and so on in the order in which they run.
        neurons: Its outputs at one step.
        sparsity: Share of zeros in them, over all windows and steps.
        spiking: Whether it spikes.
    """

    name: str
    neurons: int
    sparsity: float
    spiking: bool


@dataclass(frozen=True)
class Energy:
    """What one window of sound costs, on average over those that were counted.

    A clip that is longer than the model's window is several windows.

    Attributes:
        model: The checkpoint's name, or the architecture's.
        architecture: Name of the network class.
        clips: How many clips were counted.
        windows: How many windows they were; 0 where only the shapes are known.
        num_steps: Time steps T; 1 for a CNN.
        layers: Convolutions and linear layers, in the order in which they run.
        activity: Spiking layers and ReLUs, in that order.
        footprint: Bytes of all parameters and buffers.
        state: Bytes of the membranes of one window, which NeuroBench adds to the footprint of a network whose
            neurons keep them in buffers; here they are not among the buffers.
        twin: The network of the same shapes without spikes, or with them.
    """

    model: str
    architecture: str
    windows: int
    num_steps: int
    layers: tuple[LayerEnergy, ...]
    activity: tuple[LayerActivity, ...]
    footprint: int
    state: int = 0
    clips: int = 0
    twin: Energy | None = None

    @property
    def dense(self) -> float:
        """Operations if nothing is skipped."""
        return sum(layer.dense for layer in self.layers)

    @property
    def macs(self) -> float | None:
        """Effective multiply-accumulates; None where only the shapes are known."""
        return _total(layer.macs for layer in self.layers)

    @property
    def acs(self) -> float | None:
        """Effective accumulates; None where only the shapes are known."""
        return _total(layer.acs for layer in self.layers)

    @property
    def synops(self) -> float | None:
        """Synaptic operations: effective MACs and ACs together; None where only the shapes are known."""
        return _total(layer.effective for layer in self.layers)

    @property
    def energy_uj(self) -> float | None:
        """Microjoules of the effective operations; None where only the shapes are known."""
        return _total(layer.energy_uj for layer in self.layers)

    @property
    def energy_once_uj(self) -> float | None:
        """`energy_uj` if a layer whose input is the same at each step runs once, and its result is kept.

        That is what this package's engines do with the input layer. NeuroBench counts it at each step.
        """
        return _total(
            None if layer.energy_uj is None else layer.energy_uj / (self.num_steps if layer.constant else 1)
            for layer in self.layers
        )

    @property
    def dense_uj(self) -> float:
        """Microjoules if nothing is skipped, as on hardware that multiplies by zero as well."""
        return sum(layer.dense_uj for layer in self.layers)

    @property
    def activation_sparsity(self) -> float | None:
        """Share of zeros in what spiking layers and ReLUs give out; None where there are none."""
        neurons = sum(layer.neurons for layer in self.activity)
        zeros = sum(layer.neurons * layer.sparsity for layer in self.activity)
        return zeros / neurons if neurons else None

    @property
    def neuron_updates(self) -> int:
        """Membranes that are updated, over all steps: work that is counted here, but not in the energy."""
        return self.num_steps * sum(layer.neurons for layer in self.activity if layer.spiking)

    def against(self, twin: Energy | None = None) -> dict[str, float | None]:
        """This network's energy as a share of its twin's.

        Args:
            twin: The other network; `twin` by default.

        Returns:
            `effective` (both skip zeros), `dense` (only this one does), and the same two, `effective_once`
            and `dense_once`, if this network's input layer runs once. None where a figure or the twin is not
            known.
        """
        twin = twin or self.twin
        below = (None, None) if twin is None else (twin.energy_uj, twin.dense_uj)
        return {
            f"{name}{suffix}": over / under if over is not None and under else None
            for suffix, over in (("", self.energy_uj), ("_once", self.energy_once_uj))
            for name, under in zip(("effective", "dense"), below, strict=True)
        }

    def totals(self) -> dict[str, Any]:
        """The figures of the whole network, ready for JSON; None where only the shapes are known."""
        figures = {
            "dense": self.dense,
            "macs": self.macs,
            "acs": self.acs,
            "synops": self.synops,
            "activation_sparsity": self.activation_sparsity,
            "neuron_updates": self.neuron_updates if self.windows else None,
            "energy_uj": self.energy_uj,
            "energy_once_uj": self.energy_once_uj,
            "energy_dense_uj": self.dense_uj,
        }
        return {
            "architecture": self.architecture,
            "clips": self.clips,
            "windows": self.windows,
            "num_steps": self.num_steps,
            **{name: _rounded(value) for name, value in figures.items()},
            "footprint_bytes": self.footprint,
            "membrane_bytes": self.state,
        }

    def summary(self) -> dict[str, Any]:
        """What stands in a checkpoint's `config.json`: totals, constants, and the twin's totals and share."""
        found = {
            "model": self.model,
            **self.totals(),
            "pj_a_mac": MAC_PJ,
            "pj_an_ac": AC_PJ,
            "constants": CONSTANTS,
            "left_out": LEFT_OUT,
        }
        if self.twin is None:
            return found
        shares = {name: _rounded(share) for name, share in self.against().items()}
        return {**found, "twin": {"model": self.twin.model, **self.twin.totals()}, "share_of_twin": shares}

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON: `summary`, and the layers of both networks."""
        found = self.summary() | self._parts()
        if self.twin is not None:
            found["twin"] |= self.twin._parts()
        return found

    def _parts(self) -> dict[str, Any]:
        return {
            "layers": [
                {
                    "name": layer.name,
                    "input": "binary" if layer.binary else "float",
                    "same_input_at_each_step": layer.constant,
                    "dense": _rounded(layer.dense),
                    "macs": _rounded(layer.macs),
                    "acs": _rounded(layer.acs),
                    "synops": _rounded(layer.synops),
                    "energy_uj": _rounded(layer.energy_uj),
                    "energy_dense_uj": _rounded(layer.dense_uj),
                }
                for layer in self.layers
            ],
            "activity": [
                {
                    "name": layer.name,
                    "neurons": layer.neurons,
                    "sparsity": _rounded(layer.sparsity),
                    "spiking": layer.spiking,
                }
                for layer in self.activity
            ],
        }

    def __rich__(self) -> RenderableType:
        from snn_voice_hub.spikes.energy_table import as_tables

        return as_tables(self)

    def __str__(self) -> str:
        from snn_voice_hub.spikes.energy_table import as_text

        return as_text(self)


def _total(values: Iterable[float | None]) -> float | None:
    """The sum; None if one of the values is not known."""
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)


def _rounded(value: float | None) -> float | int | None:
    """Large numbers as whole ones, others with six digits: means over clips have no more to say."""
    if value is None:
        return None
    whole = round(value)
    return whole if value == whole or value >= 1000 else float(f"{value:.6g}")
