from __future__ import annotations

from counter import Count, describe_count
from harvest import exporter

exporter.run(Count(), describe_count)
