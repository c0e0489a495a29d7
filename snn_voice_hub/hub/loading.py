"""How a checkpoint is looked for and brought here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How a checkpoint is found; the fields' meaning stands at `HubModel.from_pretrained`."""

    revision: str | None = None
    subfolder: str | None = None
    filename: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    force_download: bool = False
    num_steps: int | None = None


USUAL: Final = Loading()
