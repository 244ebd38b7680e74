"""The demo, as a user runs it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import jubilant

from tests.integration.reader import Reader, blur, list_heads
from tests.pages import take
from tools.pack import ROOT

# The last 50 of 10,000,000 decimals of the golden ratio, by GMP's mpz_sqrt and mpz_get_str.
LAST = "45860505383757681216879489473562100044014825797564"

PAGE = "docs/tutorial/first-prime.md"


def test_the_demo_ends_with_a_prime_and_writes_down_what_it_saw(
    ground: None, tmp_path: Path
) -> None:
    seen_file = tmp_path / "seen.json"
    (demo,) = take(PAGE, __file__, "1. One command")[0].commands
    assert demo.command == "sudo ./run demo"
    command = [ROOT / "run", "demo", "--json", seen_file]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "mprime/0 on apache2/0's machine: M110503 is prime"
    seen = json.loads(seen_file.read_text())
    unit = seen["status"]["applications"]["apache2"]["units"]["apache2/0"]
    assert unit["subordinates"]["mprime/0"]["workload-status"]["current"] == "active"
    assert "searches for primes" in seen["page"]
    assert json.loads(seen["results"]["json"])["primes"] == [110503]
    assert "@sha256:" in seen["image"]
    assert seen["fan"]["show"].splitlines()[1].split()[:2] == ["fan-250", "250.0.0.0/8"]
    assert seen["fan"]["address"].startswith("250.0.")
    assert re.fullmatch(
        r"10,000,000 digits, verified; [\d,]+ digits/s", seen["golden-ratio"]["message"]
    )
    assert seen["golden-ratio"]["digits"] == LAST
    assert LAST in done.stdout
    printed = blur(done.stderr + done.stdout)
    for block in take(PAGE, __file__, "1. One command")[1:]:
        for command, shown in block.commands:
            assert blur(f"$ {command}\n") in printed
            assert {*list_heads(shown)} - {"…"} <= {*list_heads(done.stdout)}


def test_what_it_leaves_is_looked_at_and_removed_as_the_tutorial_says(
    ground: None, tmp_path: Path
) -> None:
    reader = Reader(jubilant.Juju(), tmp_path, {"sudo ./run juju": "juju"})
    reader.read(take(PAGE, __file__, "2. Look around"))
    reader.read(take(PAGE, __file__, "3. Remove it"))
    units = jubilant.Juju().status().get_units("mprime")
    assert not units
