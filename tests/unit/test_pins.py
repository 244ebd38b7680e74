from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from tools.pins import Pins, UnpinnedError, read_pins, strip_lock

ROOT = Path(__file__).parents[2]
ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")
PINS = Pins(["ops==3.9.0"], {("ops", "3.9.0"): {ONE, TWO}})


def lock(*hashes: str, version: str = "3.9.0") -> str:
    """A uv.lock of the package ops, a library of ours, and the charm."""
    files = "\n".join(f'    {{ url = "there/ops.whl", hash = "{each}" }},' for each in hashes)
    return f"""\
version = 1

[[package]]
name = "own"
version = "0.1.0"
source = {{ path = "../../lib/own/own.whl" }}
wheels = [
    {{ filename = "own.whl", hash = "{THREE}" }},
]

[[package]]
name = "ops"
version = "{version}"
source = {{ registry = "there" }}
sdist = {{ url = "there/ops.tar.gz", hash = "{THREE}" }}
wheels = [
{files}
]

[[package]]
name = "web-charm"
version = "0.1.0"
source = {{ virtual = "." }}
"""


def read_hashes(text: str, name: str) -> list[str]:
    packages = {each["name"]: each for each in tomli.loads(text)["package"]}
    return [wheel["hash"] for wheel in packages[name]["wheels"]]


def test_the_files_that_are_pinned_stay_in_the_lock() -> None:
    stripped = strip_lock(lock(ONE, TWO), PINS)
    assert read_hashes(stripped, "ops") == [ONE, TWO]
    assert read_hashes(stripped, "own") == [THREE]


def test_a_file_that_came_after_its_version_was_pinned_is_left_out() -> None:
    stripped = strip_lock(lock(THREE, TWO), PINS)
    assert read_hashes(stripped, "ops") == [TWO]
    assert "sdist" not in stripped


@pytest.mark.parametrize(
    "text", [lock(THREE), lock(ONE, version="3.9.1"), lock(ONE).replace('"ops"', '"opsy"')]
)
def test_a_package_without_a_pinned_file_is_refused_by_name(text: str) -> None:
    with pytest.raises(
        UnpinnedError, match=r"^opsy? 3\.9\.[01] has no wheel whose hash is in req"
    ):
        strip_lock(text, PINS)


def test_a_requirement_is_read_with_its_marker_and_the_hashes_of_its_version(
    tmp_path: Path,
) -> None:
    file = tmp_path / "dev.txt"
    file.write_text(
        "tomli==2.4.0 ; python_full_version < '3.11' \\\n"
        f"    --hash={ONE} \\\n    --hash={TWO}\n"
        f"tomli==3.0 ; python_full_version >= '3.11' \\\n    --hash={THREE}\n"
    )
    assert read_pins(file) == Pins(
        [
            "tomli==2.4.0 ; python_full_version < '3.11'",
            "tomli==3.0 ; python_full_version >= '3.11'",
        ],
        {("tomli", "2.4.0"): {ONE, TWO}, ("tomli", "3.0"): {THREE}},
    )


def test_every_requirement_of_the_repository_has_hashes() -> None:
    pins = read_pins(ROOT / "requirements" / "dev.txt")
    lines = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    assert len(pins.requirements) == len([line for line in lines if "==" in line.split(";")[0]])
    assert all(pins.hashes.values())
