from __future__ import annotations

from counter import Count
from harvest import removal

removal.run(Count())
