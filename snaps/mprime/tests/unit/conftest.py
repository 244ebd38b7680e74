from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
for source in (ROOT / "charms/mprime/src", ROOT / "snaps/mprime/src"):
    if str(source) not in sys.path:
        sys.path.append(str(source))
