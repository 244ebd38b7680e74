"""`fanctl`, also as `python -m fannet`."""

from __future__ import annotations

import gc
import sys

from fannet.cli import main


def run() -> int:
    """Run this process's command line and return its exit code."""
    code = main()
    gc.freeze()  # or Python looks for garbage in all of it once more, a tenth of the time of `up`
    return code


if __name__ == "__main__":
    sys.exit(run())
