from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet import processors
from fannet.links import Link

PORT = Link(
    index=7,
    name="fan-fa000000-p",
    kind="veth",
    mtu=1450,
    mac="02:00:00:00:00:07",
    alias="",
    master=0,
    is_up=True,
    is_loopback=False,
    external=False,
    udp_port=0,
    rx_errors=0,
    leads_away=False,
)


@pytest.fixture
def mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with four processors, as its files show it; the port's mask is empty."""
    for name, text in {"online": "0-3", "isolated": "", "nohz_full": "(null)"}.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(processors, "_PROCESSORS", tmp_path)
    monkeypatch.setattr(processors, "_DEVICES", tmp_path)
    file = tmp_path / PORT.name / "queues/rx-0/rps_cpus"
    file.parent.mkdir(parents=True)
    file.write_text("00000000,00000000\n")
    (tmp_path / PORT.name / "address").write_text(f"{PORT.mac}\n")
    return file


@given(st.integers(0, 8192))
def test_a_mask_tells_how_many_processors_it_holds(number: int) -> None:
    assert processors.parse_mask(f"00000000,{processors.format_mask(number)}\n") == number


@given(st.integers(1, 1 << 200))
def test_a_mask_with_a_gap_holds_none(bits: int) -> None:
    text = ",".join(f"{bits << 1:064x}"[at : at + 8] for at in range(0, 64, 8))
    assert processors.parse_mask(text) == 0


@pytest.mark.parametrize(
    ("number", "text"), [(0, "00000000"), (2, "00000003"), (33, "00000001,ffffffff")]
)
def test_a_mask_is_written_as_the_kernel_reads_it(number: int, text: str) -> None:
    assert processors.format_mask(number) == text


def test_a_port_is_spread_over_all_processors(mask: Path) -> None:
    assert processors.count(PORT) == 0
    assert processors.ensure_spread(PORT) == 4
    assert mask.read_text() == "0000000f"
    assert processors.count(PORT) == 4


@pytest.mark.parametrize("online", ["0", "0-1,3", "1-3", "0-1,3-4"])
def test_one_processor_or_numbers_with_gaps_are_left_alone(mask: Path, online: str) -> None:
    (mask.parents[3] / "online").write_text(f"{online}\n")
    assert processors.ensure_spread(PORT) == 0
    assert mask.read_text() == "00000000,00000000\n"


def test_a_file_that_may_only_be_read_hands_over_nothing(
    mask: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert processors.ensure_spread(PORT) == 0


@pytest.mark.parametrize(
    ("isolated", "nohz_full", "number"),
    [("3", "(null)", 3), ("", "2-3", 2), ("2", "3", 2), ("1", "(null)", 0), ("1-3", "1-3", 0)],
)
def test_processors_that_are_kept_from_such_work_are_left_out(
    mask: Path, isolated: str, nohz_full: str, number: int
) -> None:
    (mask.parents[3] / "isolated").write_text(f"{isolated}\n")
    (mask.parents[3] / "nohz_full").write_text(f"{nohz_full}\n")
    assert processors.ensure_spread(PORT) == number
    assert processors.count(PORT) == number


def test_a_kernel_that_keeps_none_may_lack_the_files(mask: Path) -> None:
    (mask.parents[3] / "isolated").unlink()
    (mask.parents[3] / "nohz_full").unlink()
    assert processors.ensure_spread(PORT) == 4


def test_a_device_of_another_namespace_with_the_same_name_is_left_alone(mask: Path) -> None:
    (mask.parents[2] / "address").write_text("02:00:00:00:00:99\n")
    assert processors.count(PORT) is None
    assert processors.ensure_spread(PORT) is None
    assert mask.read_text() == "00000000,00000000\n"


def test_a_device_that_is_not_there_is_left_alone(mask: Path) -> None:
    mask.unlink()
    assert processors.count(PORT) is None
