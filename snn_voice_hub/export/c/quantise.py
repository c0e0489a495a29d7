"""Weights as integers with a scale for each output, and what makes fixed-point numbers of their sums."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Currents, membranes, thresholds and logits are in units of 2^-16.
POINT = 16
# Of weights in 8 and in 16 bits.
LIMITS = {8: 127, 16: 32767}


@dataclass(frozen=True, eq=False)
class Quantised:
    """A matrix of weights; an output is `sum * multiplier / 2^shift`, in units of 2^-16.

    Attributes:
        weights: `[in, out]`.
        multipliers: `[out]`.
        shift: Of all outputs, at least 1.
        bits: Of a weight, 8 or 16.
    """

    weights: Integers
    multipliers: Integers
    shift: int
    bits: int

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        return self.weights.size * self.bits // 8

    @property
    def most(self) -> int:
        """The largest sum of an output, if every input were 1."""
        return int(np.abs(self.weights).sum(0).max())


def quantised(weights: Floats, *, bits: int, largest: int, unit: float = 1.0) -> Quantised:
    """Round a matrix to integers, each output by its own scale: its largest weight is the largest integer.

    A smaller scale, which cuts off the largest weights, has a larger error for the weights of such networks.

    Args:
        weights: `[in, out]`.
        bits: Of a weight, 8 or 16.
        largest: What an input can be at most, as an integer.
        unit: What an input of 1 stands for.
    """
    rounded, scales = rounded_by(weights, bits)
    # As a sum times its multiplier has to fit into 64 bits.
    most = max(1, int(np.abs(rounded).sum(0).max()) * largest)
    multipliers, shift = fixed(scales * unit * 2.0**POINT, min(30, 62 - most.bit_length()))
    return Quantised(rounded, multipliers, shift, bits)


def rounded_by(weights: Floats, bits: int) -> tuple[Integers, Floats]:
    """Weights `[in, out]` as integers of so many bits, and the scale of each output `[out]`."""
    scales = np.abs(weights).max(0) / LIMITS[bits]
    return np.rint(weights / np.where(scales > 0, scales, 1.0)).astype(np.int64), scales


def fixed(factors: Floats, bits: int) -> tuple[Integers, int]:
    """Factors as integers of so many bits, divided by a power of 2: `(integers, shift)`, shift at least 1."""
    most = float(np.abs(factors).max(initial=0.0))
    shift = 1 if most == 0 else min(60, max(1, bits - math.frexp(most)[1]))
    return np.rint(factors * 2.0**shift).astype(np.int64), shift
