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


class Totals:
    """Sums over the layers of a network, of a window of sound or of a second.

    Attributes:
        layers: Convolutions and linear layers, in the order in which they run.
        num_steps: Time steps T.
    """

    layers: tuple[LayerEnergy, ...]
    num_steps: int

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

    def operations(self) -> dict[str, float | None]:
        """Operations and microjoules by name; None where only the shapes are known."""
        return {
            "dense": self.dense,
            "macs": self.macs,
            "acs": self.acs,
            "synops": self.synops,
            "energy_uj": self.energy_uj,
            "energy_once_uj": self.energy_once_uj,
            "energy_dense_uj": self.dense_uj,
        }


def _total(values: Iterable[float | None]) -> float | None:
    """The sum; None if one of the values is not known."""
    found = list(values)
    return None if None in found else sum(value for value in found if value is not None)


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
