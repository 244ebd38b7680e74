"""Files that are written whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(
    file: Path, text: str, *, mode: int = 0o644, owner: tuple[int, int] | None = None
) -> None:
    """Put a file in place; a reader, or a kill, sees the old content or the new.

    What is there is replaced, a symbolic link too; whoever wants to write what it points to
    resolves it first.

    Args:
        file: where; its folder is there.
        text: what it holds, in UTF-8.
        mode: its permissions.
        owner: user and group; None: who writes it.

    Raises:
        OSError: it can't be written; what was there is as it was.
    """
    # mkstemp's names can't be guessed, and it follows no link: the folder may be another's.
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            if owner:
                os.fchown(handle, *owner)
            os.fchmod(handle, mode)
            stream.write(text)
            stream.flush()
            os.fsync(handle)
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
