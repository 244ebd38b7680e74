from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own, since it changes how Python collects.
LOADED = "from hostkit import garbage; import gc, sys; "


@pytest.mark.parametrize(
    ("does", "collects"), [("", "False"), ("garbage.collect_from_here(); ", "True")]
)
def test_garbage_is_looked_for_once_all_is_loaded(does: str, collects: str) -> None:
    assert tell(f"{LOADED}{does}print(gc.isenabled())") == collects


def test_what_was_loaded_before_is_never_looked_at() -> None:
    before = f"{LOADED}garbage.collect_from_here(); print(gc.get_freeze_count() > 1000)"
    assert tell(before) == "True"


def test_nothing_is_looked_at_when_the_process_ends() -> None:
    watch = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000)); "
    assert tell(f"{watch}{LOADED}") == "True"


def tell(program: str) -> str:
    words = [sys.executable, "-c", program]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
