"""Runs one computation of the golden ratio on this machine: golden.py FOLDER WAY DIGITS.

Prints as JSON how long it took by the program's own clock, from its start to the verified file,
how much memory and processor time it had, which a container hides, and a digest of its digits.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

BARE, CONTAINER, GMP = "bare", "container", "gmp"
USER = "65532:65532"


def main() -> None:
    """Run it, and print what was found."""
    folder, way, digits = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    # In the image's own file system, so that only the container is the difference.
    root = folder / "root"
    work = root / "work"
    for file in work.iterdir():
        file.unlink()
    said, usage = run(make_command(root, way, digits), digits)
    if way == GMP:
        seconds = float(said)
    else:
        seconds = json.loads((work / "state.json").read_text())["seconds"]
    digest = hashlib.sha256((work / "phi.txt").read_bytes()).hexdigest()
    processor = usage.ru_utime + usage.ru_stime
    found = {"seconds": seconds, "processor": processor, "bytes": usage.ru_maxrss * 1024}
    print(json.dumps({**found, "digest": digest}))


def make_command(root: Path, way: str, digits: str) -> list[str]:
    """Return what runs a way."""
    if way == GMP:
        return [str(root.parent / "golden-gmp"), digits, str(root / "work" / "phi.txt")]
    if way == BARE:
        return ["/usr/sbin/chroot", f"--userspec={USER}", str(root), "/usr/bin/golden-ratio"]
    limits = [
        "--read-only",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ]
    volume = f"--volume={root / 'work'}:/work"
    command = ["/usr/bin/docker", "run", "--rm", *limits, volume, f"--env=DIGITS={digits}"]
    return [*command, "golden-ratio:latest"]


def run(command: list[str], digits: str) -> tuple[str, resource.struct_rusage]:
    """Run a program; return what it said, and what it used."""
    environment = {"DIGITS": digits, "PATH": "/usr/bin"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as program:
        assert program.stdout  # noqa: S101 - it is a pipe
        said = program.stdout.read()
        _, status, usage = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        sys.exit(f"{command[0]} ended with code {program.returncode}")
    return said, usage


if __name__ == "__main__":
    main()
