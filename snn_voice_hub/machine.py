"""What a machine is, as far as times that were measured on it depend on that."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

# Which of these is set says how OpenMP's threads wait for each other.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# So often a waiting thread of GNU's OpenMP looks whether it may go on, before it sleeps. On cores of its own
# that is as fast as the library's 300,000; on shared ones, who turns in circles holds back whom he waits for.
_TURNS = "10000"

# Variables that begin so choose how an allocator keeps memory: glibc's, and PyTorch's use of large pages.
ALLOCATOR_SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "THP_MEM_ALLOC_ENABLE")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where something was measured; times of different machines are not compared.

    Attributes:
        cores: Of the CPU.
        threads: PyTorch's.
        torch: Its version.
        device: "cpu", "mps", or the GPU's name.
        processor: The CPU's name; "" in results of before it was kept.
        allocator: What was loaded or set in place of the C library's own; see `allocator_name`.
    """

    cores: int
    threads: int
    torch: str
    device: str
    processor: str = ""
    allocator: str = ""

    @classmethod
    def here(cls, accelerator: str = "auto") -> Machine:
        """This one, as a run meets it.

        Args:
            accelerator: Lightning's: "auto", "cpu", "gpu", "mps".
        """
        import torch  # names of a processor and an allocator are had without it

        device = "cpu"
        if accelerator in ("auto", "gpu") and torch.cuda.is_available():
            device = torch.cuda.get_device_name()
        elif accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
            device = "mps"
        return cls(
            cores=os.cpu_count() or 1,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            device=device,
            processor=processor_name(),
            allocator=allocator_name(),
        )


def sleep_soon() -> None:
    """Let threads of PyTorch that wait for each other sleep after a moment, for training on a busy machine.

    To be called before PyTorch is loaded; what the user has set stays, and processes that this one starts
    inherit it. `docs/training.md` says what it brings.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["GOMP_SPINCOUNT"] = _TURNS


def processor_name() -> str:
    """What the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def allocator_name() -> str:
    """The memory allocator that was preloaded, and what is set for it; "" for the C library's as it is.

    A training step takes up to two and a half times as long with one as with another (`docs/training.md`).
    """
    preloaded = os.environ.get("LD_PRELOAD", "").replace(":", " ").split()
    names = [Path(library).name for library in preloaded if "malloc" in Path(library).name]
    chosen = (f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(ALLOCATOR_SETTINGS))
    return " ".join([*names, *chosen])
