"""The kernels of this machine: ready ones where there are some, else built."""

from __future__ import annotations

import functools
import os
import threading

from snn_voice_hub.native import ready
from snn_voice_hub.native.build import SWITCH_VARIABLE, BuildError, Kernels, build_here

_lock = threading.Lock()


def load_kernels() -> Kernels:
    """The kernels of this machine: ready ones if there are some that fit, else built, once.

    Raises:
        BuildError: No compiler, or the build or the load fails.
    """
    if os.environ.get(SWITCH_VARIABLE) == "0":
        raise BuildError(f"switched off by {SWITCH_VARIABLE}=0")
    with _lock:
        return _load()


@functools.cache
def _load() -> Kernels:
    unfit = ""
    try:
        if (found := ready.find()) is not None:
            return found
    except BuildError as error:
        unfit = f"{error}; "
    try:
        return build_here()
    except BuildError as error:
        raise BuildError(f"{unfit}{error}") from error
