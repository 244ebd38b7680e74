"""What stands outside a machine for a program inside is as if that itself stood there."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from localmodel.machines.instance import STAND_IN


def run(*argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STAND_IN, *argv], env=variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("code", [0, 1, 7, 128, 255])
def test_it_ends_with_the_programs_exit_code(code: int) -> None:
    assert run("/bin/sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["FPE", "KILL", "SEGV", "TERM"])
def test_it_ends_by_the_programs_signal(name: str) -> None:
    assert run("/bin/sh", "-c", f"kill -{name} $$").returncode == -signal.Signals[f"SIG{name}"]


DIE = """\
import os, signal, sys
number = signal.Signals["SIG" + sys.argv[1]]
signal.signal(number, signal.SIG_DFL)
os.kill(os.getpid(), number)
"""


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_it_ends_by_a_signal_that_it_was_told_to_ignore_as_nohup_does(name: str) -> None:
    ignoring = ["/bin/sh", "-c", f"trap '' {name}; exec \"$@\"", "sh", *STAND_IN]
    done = subprocess.run([*ignoring, sys.executable, "-c", DIE, name], check=False)
    assert done.returncode == -signal.Signals[f"SIG{name}"]


def test_what_the_caller_has_set_for_perl_and_its_locale_have_no_effect() -> None:
    done = run("/usr/bin/env", LC_ALL="xx_XX.UTF-8", PERL5OPT="-MNope", PERL5LIB="/nope", ONE="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == ["LC_ALL=xx_XX.UTF-8", "ONE=1"]


def test_it_goes_on_when_the_program_is_stopped_for_a_moment() -> None:
    stopped = "until grep -q '^State:.T' /proc/$$/status; do :; done"
    script = f"({stopped}; kill -CONT $$) & kill -STOP $$; wait; exit 3"
    assert run("/bin/sh", "-c", script, PATH="/usr/bin:/bin").returncode == 3
