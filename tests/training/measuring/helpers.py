"""Tones that stand for words."""

from __future__ import annotations

from typing import Any

import numpy as np

RATE = 4_000
PITCH = {"low": 200, "high": 500, "other": 1_000}


def tone(what: str, seconds: float = 0.5, level: float = 0.3) -> np.ndarray[Any, np.dtype[np.float32]]:
    t = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * PITCH[what] * t)).astype(np.float32)


def int16(wave: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (wave * 32767).astype(np.int16)
