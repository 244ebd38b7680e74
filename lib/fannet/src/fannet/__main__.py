"""`python -m fannet` is `fanctl`."""

from __future__ import annotations

import sys

from fannet.cli import main

if __name__ == "__main__":
    sys.exit(main())
