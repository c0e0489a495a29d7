"""All who write: name -> `Writer`. What one changes in the package stays in the process that tries it."""

from __future__ import annotations

from tests.faults import models, sounds, stores
from tests.faults.common import WRITERS

__all__ = ["WRITERS", "models", "sounds", "stores"]
