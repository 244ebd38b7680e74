"""Draws what a benchmark found."""

from __future__ import annotations

import statistics
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas

from benchmarks.figures import Panel

_BAR = "#b3d4e8"
_LINE = "#c0392b"
_DOT = "#34495e"


def draw(panels: tuple[Panel, ...], title: str, file: Path) -> None:
    """Write a plot: medians as bars, each run as a dot, the bar to hold as a dashed line.

    Args:
        file: its suffix tells the format, such as .svg or .png.

    Raises:
        ValueError: the format is unknown.
        OSError: the file can't be written.
    """
    canvas = Canvas(figsize=(4.2 * len(panels), 4.2), layout="constrained")
    canvas.suptitle(title)
    for axes, panel in zip(canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        places = range(len(panel.settings))
        medians = [statistics.median(values) for values in panel.settings.values()]
        labels = [f"{median:.0f}" if median >= 100 else f"{median:.3g}" for median in medians]
        axes.bar_label(axes.bar(places, medians, 0.7, color=_BAR), labels, label_type="center")
        for place, values in zip(places, panel.settings.values(), strict=True):
            # Beside each other, or equal values would hide one another.
            step = 0.5 / max(len(values) - 1, 1)
            spread = [place - 0.25 + step * run for run in range(len(values))]
            axes.plot(spread, values, ".", color=_DOT, markersize=5)
        if panel.bar is not None:
            axes.axhline(panel.bar, color=_LINE, linestyle="--", linewidth=1)
        axes.set_title(panel.title, fontsize="medium")
        axes.set_xticks(list(places), list(panel.settings), fontsize="small")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    # Without these two the same figures would make another file each time.
    metadata = {"Date": None} if file.suffix == ".svg" else None
    with rc_context({"svg.hashsalt": title}):
        canvas.savefig(file, dpi=150, metadata=metadata)
