"""The spikes of a stream, as its messages carry them: bits, in base64."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
from snn_voice_lite.streaming.session import Due, VoiceStream


def layers_of(stream: VoiceStream) -> dict[str, Any]:
    """What has to be known to read `spikes_in`: the layers, in the order of their bits."""
    return {"layers": [{"name": name, "neurons": len(spk)} for name, spk in stream.spikes.items()]}


def spikes_in(stream: VoiceStream, due: Due) -> dict[str, Any]:
    """Which neurons fired in each step of what was due.

    Args:
        stream: One that was asked for spikes.
        due: What it has heard last.

    Returns:
        `start` and `time`, from where to where in seconds; `steps` between them; `bits`: of each step those
        of all neurons, layer by layer, the lowest of a byte first, and each step begins with a new byte.
    """
    fired = np.concatenate(list(stream.raster.values()), axis=1)
    bits = np.packbits(fired, axis=1, bitorder="little")
    return {
        "start": round(due.ends[0] - stream.hop, 4),
        "time": due.ends[-1],
        "steps": len(fired),
        "bits": b64encode(bits.tobytes()).decode(),
    }
