"""Sound that the commands write."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from snn_voice_hub.writing import OUT_HINT, write_whole

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def write_wav(path: Path, waveform: npt.NDArray[np.float32], rate: int, *, hint: str = OUT_HINT) -> None:
    """Write sound `[N]` as a WAV file of 16 bits; a half of it is never seen under its name.

    Args:
        path: Where; its folder is there.
        waveform: Full scale is 1.0; what is louder is cut off.
        rate: In Hz.
        hint: What the user can do where it can't be written.

    Raises:
        SnnVoiceError: It can't be written.
    """
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, waveform, rate, format="WAV", subtype="PCM_16")
    write_whole(path, content.getvalue(), hint=hint)
