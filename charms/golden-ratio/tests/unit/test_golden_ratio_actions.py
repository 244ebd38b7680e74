"""The charm's own actions, and what they make of whatever is in the work directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from golden_host import DECIMALS, Host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops import testing

from dockerhost import Change, ContainerSpec
from golden_ratio.computation import Computation, State, read_computation
from harvest.workdir import WorkDirectory

Act = Callable[..., Any]
in_one_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
WRONG = "golden-ratio: phi.txt, 1,000 digits: a digit is wrong"


def test_progress_tells_how_far_the_digits_are_and_where(finished: Host, act: Act) -> None:
    assert act("progress") == {
        "message": "1,000 digits, verified; 2,000 digits/s",
        "phase": "done",
        "digits": 1000,
        "step": 7,
        "steps": 7,
        "seconds": 0.5,
        "digits-per-second": 2000,
        "verified": True,
        "verify": "fast",
        "file": str(finished.directory / "phi.txt"),
        "digits-in-file": 1000,
    }


def test_progress_tells_what_there_is_when_the_program_has_told_nothing(
    working: Host, act: Act
) -> None:
    assert act("progress") == {
        "message": "computing 1,000 digits",
        "digits": 1000,
        "verified": False,
        "file": str(working.directory / "phi.txt"),
        "digits-in-file": 0,
    }


def test_the_last_hundred_digits_are_shown_without_a_range(finished: Host, act: Act) -> None:
    expected = {"first": 901, "last": 1000, "of": 1000, "verified": True}
    assert act("digits") == expected | {"digits": DECIMALS[-100:]}
    assert act("digits", count=10_000)["digits"] == DECIMALS


@in_one_directory
@given(data=st.data())
def test_any_range_of_digits_is_shown(finished: Host, act: Act, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, 1000))
    count = data.draw(st.integers(1, 1001 - first))
    found = act("digits", first=first, count=count)
    assert found["digits"] == DECIMALS[first - 1 : first - 1 + count]
    assert (found["first"], found["last"]) == (first, first + count - 1)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"first": 950}, "parameter first: no 950 to 1,049; there are 1,000 decimals"),
        ({"first": 1001, "count": 1}, "parameter first: no 1,001 to 1,001; there are 1,000"),
        ({"first": 10**10, "count": 1}, "parameter first: no 10,000,000,000 to 10,000,000,000"),
    ],
)
def test_digits_that_are_not_there_are_refused(
    finished: Host, act: Act, params: dict[str, int], text: str
) -> None:
    with pytest.raises(testing.ActionFailed) as failed:
        act("digits", **params)
    assert failed.value.message.startswith(text)


@pytest.mark.parametrize("params", [{"count": 10_001}, {"count": 0}, {"first": 0}, {"first": -1}])
def test_a_range_beyond_what_is_allowed_is_refused_by_name(
    finished: Host, act: Act, params: dict[str, int]
) -> None:
    (name,) = params
    with pytest.raises(testing.ActionFailed) as failed:
        act("digits", **params)
    assert f"parameter {name}: {params[name]} is out of range; give 1 to" in failed.value.message


def test_without_digits_the_actions_say_so(working: Host, act: Act) -> None:
    for action in ("digits", "verify"):
        with pytest.raises(testing.ActionFailed, match="there are no digits yet; the action prog"):
            act(action)
    with pytest.raises(testing.ActionFailed, match="no speed to report: computing 1,000 digits"):
        act("report")


def test_without_a_container_the_actions_say_so(host: Host, act: Act) -> None:
    for action in ("progress", "digits", "report", "verify"):
        with pytest.raises(testing.ActionFailed, match="there is no computation on this machine"):
            act(action)


def test_a_file_with_anything_else_in_it_is_never_shown(finished: Host, act: Act) -> None:
    for bad in ("\x1b[2J", "\u0663", "\u00b2", "\0"):
        file = finished.directory / "phi.txt"
        file.write_bytes(b"1." + (bad * 1000).encode()[:1000] + b"\n")
        with pytest.raises(testing.ActionFailed, match=r"phi\.txt has no digits there; run the"):
            act("digits")


def test_a_link_is_no_file_with_digits(finished: Host, act: Act, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1" * 1003)
    (finished.directory / "phi.txt").unlink()
    (finished.directory / "phi.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(testing.ActionFailed, match="there are no digits yet"):
        act("digits")


def test_a_report_tells_the_speed_beside_that_of_2015(finished: Host, act: Act) -> None:
    found = act("report")
    assert found["digits-per-second"] == 2000
    assert found["digits-per-hour"] == 7_200_000
    assert "12,500,000,000 record digits an hour, 4,500,000,000" in found["in-2015"]
    assert "79 h, and 81 h to verify" in found["in-2015"]
    assert "currency" not in found


def test_a_report_tells_digits_for_a_price(finished: Host, act: Act) -> None:
    found = act("report", options={"price-per-hour": 1.5, "currency": "€"})
    assert (found["digits-per-currency-unit"], found["currency"]) == (4_800_000, "€")


def test_digits_whose_time_nobody_knows_have_no_report(finished: Host, act: Act) -> None:
    finished.finish(digits_per_second=None)
    with pytest.raises(testing.ActionFailed, match="no speed to report: 1,000 digits, verified"):
        act("report")


@pytest.fixture
def end_trial(finished: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a trial's program end at once; and says what it says, which it did."""

    def choose(code: int, *lines: str) -> None:
        def ensure(spec: ContainerSpec) -> Change:
            change = Host.ensure(finished, spec)
            if spec.name == "golden-ratio-0.trial":
                shared = finished.work / spec.name / "phi.txt"
                assert shared.samefile(finished.directory / "phi.txt")
                there = finished.containers[spec.name]
                ended = replace(there, state="exited", exit_code=code, pid=0)
                finished.containers[spec.name] = ended
                finished.log = [*lines]
            return change

        monkeypatch.setattr(finished, "ensure", ensure)

    return choose


def test_digits_are_verified_again_beside_what_is_finished(
    finished: Host, act: Act, end_trial: Callable[..., None]
) -> None:
    end_trial(0, "1,000 digits, verified")
    assert act("verify") == {"message": "1,000 digits, verified"}
    spec, own = finished.specs["golden-ratio-0.trial"], finished.specs["golden-ratio-0"]
    assert (spec.command, spec.environment) == (("verify",), own.environment)
    assert (spec.memory, spec.cgroup_parent, spec.user) == (
        own.memory,
        own.cgroup_parent,
        own.user,
    )
    assert finished.did == ["created", "remove"]
    assert not (finished.work / "golden-ratio-0.trial").exists()
    assert (finished.directory / "phi.txt").read_text() == f"1.{DECIMALS}\n"


def test_digits_from_before_are_verified_while_a_computation_is_frozen(
    finished: Host, act: Act, end_trial: Callable[..., None]
) -> None:
    there = finished.containers["golden-ratio-0"]
    finished.containers["golden-ratio-0"] = replace(there, state="running", pid=7)
    end_trial(0, "1,000 digits, verified")
    assert act("verify") == {"message": "1,000 digits, verified"}
    assert finished.did == ["freeze", "created", "remove", "thaw"]
    end_trial(4, WRONG)
    with pytest.raises(testing.ActionFailed, match="a digit is wrong"):
        act("verify")
    assert finished.containers["golden-ratio-0"].state == "running"


def test_a_wrong_digit_fails_the_action_and_is_computed_again(
    finished: Host, act: Act, end_trial: Callable[..., None]
) -> None:
    end_trial(4, WRONG)
    with pytest.raises(testing.ActionFailed) as failed:
        act("verify")
    assert failed.value.message == (
        "phi.txt, 1,000 digits: a digit is wrong; they are computed again, and the file becomes "
        "phi.txt.bad"
    )
    assert finished.did == ["created", "remove", "started"]
    state = failed.value.state
    assert isinstance(state, testing.State)
    assert state.unit_status == testing.ActiveStatus("computing 1,000 digits")


def test_a_wrong_digit_does_not_start_what_is_paused(
    finished: Host, act: Act, end_trial: Callable[..., None]
) -> None:
    act("pause")
    end_trial(4, WRONG)
    with pytest.raises(testing.ActionFailed, match=r"a digit is wrong$"):
        act("verify")
    assert finished.containers["golden-ratio-0"].state == "exited"


def test_digits_that_could_not_be_verified_are_told(
    finished: Host, act: Act, end_trial: Callable[..., None]
) -> None:
    end_trial(3, "golden-ratio: 1,000 digits need more than the 90 MB there are; 500 fit")
    with pytest.raises(testing.ActionFailed, match="need more than the 90 MB there are; 500 fit"):
        act("verify")
    assert finished.did == ["created", "remove"]


def test_a_bad_option_fails_the_actions_that_need_it(finished: Host, act: Act) -> None:
    for action in ("verify", "report"):
        with pytest.raises(testing.ActionFailed, match="option digits: 5 is not allowed"):
            act(action, options={"digits": 5})


told = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["computing", "done", "failed", "else", 7]),
        "digits": st.integers(990, 1010) | st.none() | st.integers(),
        "step": st.integers(-1, 10**13),
        "steps": st.integers(-1, 10**13) | st.floats(),
        "seconds": st.floats() | st.text(max_size=3),
        "digits-per-second": st.none() | st.integers(-1, 10**13),
        "verified": st.booleans() | st.just("true"),
        "verify": st.sampled_from(["fast", "full", "none"]),
    }
)


@in_one_directory
@given(
    text=st.text(max_size=100) | told.map(json.dumps) | st.just("[" * 4000), there=st.booleans()
)
def test_whatever_the_program_tells_is_read_as_a_state_or_as_none(
    tmp_path: Path, text: str, there: bool
) -> None:
    (tmp_path / "state.json").write_text(text, errors="replace")
    (tmp_path / "phi.txt").write_text(f"1.{DECIMALS}\n" if there else "")
    found = read_computation(WorkDirectory(tmp_path), 1000, running=False)
    assert found.there == (1000 if there else 0)
    assert found.state is None or found.state.digits == 1000
    assert found.verified is None or (there and found.verified.seconds > 0)
    assert found.text.isprintable()
    assert len(found.text) < 150


@given(wanted=st.integers(1000, 10**10), there=st.integers(0, 10**10), step=st.integers(0, 40))
def test_the_text_names_what_is_wanted_and_what_is_there(
    wanted: int, there: int, step: int
) -> None:
    state = State.model_validate(
        {
            "phase": "done",
            "digits": wanted,
            "step": step,
            "steps": 40,
            "seconds": 1.0,
            "digits-per-second": 1,
            "verified": True,
            "verify": "fast",
        }
    )
    text = Computation(wanted, there, state).text
    assert f"{wanted:,} digits" in text
    assert ("verified" in text) == (wanted == there)
    assert ("from the start" in text) == (there not in (0, wanted))
