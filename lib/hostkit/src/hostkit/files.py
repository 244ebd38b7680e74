"""Files that are written whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Put a file in place; a reader, or a kill, sees the old content or the new.

    Raises:
        OSError: it can't be written; what was there is as it was.
    """
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            os.fchmod(handle, mode)
            stream.flush()
            os.fsync(handle)
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
