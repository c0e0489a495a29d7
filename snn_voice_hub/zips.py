"""What Python's `zipfile` may raise where a zip is damaged, encrypted, or packed as it does not know."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Final

# RuntimeError: a password is needed; NotImplementedError is one, too. OverflowError: a place
# beyond all files. ValueError: a name that is no text.
ZIP_ERRORS: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, RuntimeError, OverflowError, ValueError),
)
