"""What the mprime snap has beside the charm's search, and what its files promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dockerhost import Image
from harvest.options import OptionsError, parse_options
from harvest.snap import NOT_OFFERED, SnapUnit
from harvest.workload import Desired, Share
from mprime import config
from mprime.engines import Results, Search
from mprime.search import SEARCH as CHARMS
from mprime_snap import SEARCH, Config, list_progress, list_results

PROJECT = Path(__file__).parents[2]
MLUCAS = Image("sha256:1", {"mersenne.engine": "mlucas"})
SHARE = Share((0, 1), 2)


def make_desired(tmp_path: Path, **options: str) -> Desired[config.Config]:
    unit = SnapUnit("mprime", "mprime", tmp_path)
    parsed: config.Config = parse_options(Config, options)
    return Desired(unit, parsed, tmp_path, confined=True)


def test_the_container_is_specified_by_the_charms_own_code(tmp_path: Path) -> None:
    desired = make_desired(tmp_path, worktodo="859433")
    assert SEARCH.make_job(desired, MLUCAS, SHARE) == CHARMS.make_job(desired, MLUCAS, SHARE)


def test_a_command_takes_the_place_of_the_programs_own_arguments(tmp_path: Path) -> None:
    desired = make_desired(tmp_path, command="-cpu 0:1 'two words'")
    job = SEARCH.make_job(desired, MLUCAS, SHARE)
    assert job.command == ("-cpu", "0:1", "two words")


def test_a_command_that_is_no_list_of_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"option command: .* close each quote"):
        make_desired(tmp_path, command="-cpu '0")


def test_the_commands_print_what_the_charms_actions_return() -> None:
    search = Search(None, Results(primes=(859433,)))
    assert list_progress(search) == {"message": "out of work"}
    assert list_results(search)["primes"] == "M859433"


def test_each_part_takes_files_that_are_there() -> None:
    metadata = yaml.safe_load((PROJECT / "snap/snapcraft.yaml").read_text())
    parts = metadata["parts"].values()
    assert all((PROJECT / part["source"]).is_dir() for part in parts)
    assert (PROJECT / metadata["icon"]).is_file()


def test_the_snap_asks_for_the_engines_socket_alone() -> None:
    metadata = yaml.safe_load((PROJECT / "snap/snapcraft.yaml").read_text())
    assert metadata["confinement"] == "strict"
    used = [*metadata["apps"].values(), *metadata["hooks"].values()]
    assert {plug for each in used for plug in each["plugs"]} == {*metadata["plugs"]} == {"docker"}


def test_the_readme_tells_of_every_option() -> None:
    readme = (PROJECT / "README.md").read_text()
    for name in {*Config.model_fields} - NOT_OFFERED:
        assert f"| `{name.replace('_', '-')}` |" in readme
