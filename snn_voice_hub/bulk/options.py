"""How a run over many clips is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from snn_voice_hub.config import check_bool, check_int, check_number
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.inference.engines.names import check_engine


@dataclass(frozen=True, kw_only=True)
class BulkOptions:
    """How to run; what the fields share with `SnnVoice` means the same.

    Attributes:
        model: Bundled name, folder or Hub id; None for the default.
        revision: Branch, tag or commit of a Hub repository.
        top_k: At most so many labels a clip.
        min_score: Words of at least this score only.
        words_only: Leave out the labels that are no word.
        device: "auto" (GPUs where Ray has some), "cpu", "cuda" (a GPU a worker) or "mps".
        engine: How the network is run.
        batch_size: Windows that run together.
        num_workers: Processes that classify; None for one a core, or one a GPU.
        ray_address: An existing cluster's; None for Ray on this machine alone.
        part_clips: Rows of a part file, at most about so many.
    """

    model: str | None = None
    revision: str | None = None
    top_k: int = 3
    min_score: float | None = None
    words_only: bool = False
    device: str = "auto"
    engine: str = "auto"
    batch_size: int = 32
    num_workers: int | None = None
    ray_address: str | None = None
    part_clips: int = 20_000

    def __post_init__(self) -> None:
        """Check what can be known before Ray is started."""
        check_engine(self.engine)
        for name in ("top_k", "batch_size", "part_clips"):
            check_int(name, getattr(self, name), low=1)
        if self.min_score is not None:
            check_number("min_score", self.min_score, low=0.0, high=1.0)
        check_bool("words_only", self.words_only)
        if self.num_workers is not None:
            check_int("num_workers", self.num_workers, low=1)
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            hint = 'auto, cpu, cuda or mps; Ray gives each worker its own GPU as "cuda"'
            raise SnnVoiceError(f"device={self.device!r} is not legal with Ray", hint=hint)
