"""What is said when the programs do not load; each object here is compiled for it."""

from __future__ import annotations

import logging
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fannet
from fannet import KernelError, programs
from lib.fannet.tests.integration.lab import Lab

SOURCE = """\
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("%s") int fan_tx(struct __sk_buff *skb)
{
    volatile int *address = (void *)(long)skb->len;
    return *address;
}
"""
HEADERS = f"/usr/include/{platform.machine()}-linux-gnu"
CLANG = ("/usr/bin/clang", "-O2", "-g", "-target", "bpf", "-I", HEADERS, "-c")


def write_object(section: str, path: Path) -> Path:
    """Write an object whose only program the verifier refuses, whatever its section is called."""
    source = path.with_suffix(".c")
    source.write_text(SOURCE % section)
    subprocess.run([*CLANG, source, "-o", path], check=True)
    return path


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ("classifier", "R1 invalid mem access"),
        ("nonsense", "missing BPF prog type, check ELF section name 'nonsense'"),
    ],
)
def test_the_error_names_the_reason_and_the_log_has_all_that_was_said(
    section: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(programs, "_OBJECT", write_object(section, tmp_path / "fan.bpf.o"))
    with pytest.raises(KernelError, match=reason) as error, programs.load():
        pass
    assert len(str(error.value).splitlines()) == 1
    errors = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert any(reason in line for line in errors)
    assert len(errors) > 2


def test_what_is_no_object_at_all_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fan.bpf.o"
    path.write_text("no object")
    monkeypatch.setattr(programs, "_OBJECT", path)
    with pytest.raises(KernelError, match=r"can't read fan.bpf.o: .*ELF"), programs.load():
        pass


def test_fanctl_says_it_in_one_line(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("172.30.0.28/16")
    shutil.copytree(Path(fannet.__file__).parent, tmp_path / "fannet")
    write_object("nonsense", tmp_path / "fannet" / "bpf" / "fan.bpf.o")
    command = (sys.executable, "-m", "fannet", "up", "250.0.0.0/8", "eth0/16")
    done = subprocess.run(
        ("/usr/sbin/ip", "netns", "exec", host.name, *command),
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("fanctl: ")
    assert "ELF section name 'nonsense'" in line
