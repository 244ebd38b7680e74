from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ops
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ops import testing

from charms.mprime.tests.unit.conftest import IMAGE, SEARCH, Act, Hook
from charms.mprime.tests.unit.fake_host import Host
from dockerhost import ContainerError
from harvest.parameters import AdoptWork
from mprime.assignments import Assignment, Kind, read_orders
from mprime.parameters import AddWork

Context = testing.Context[ops.CharmBase]


def lists(host: Host) -> str:
    return (host.directory / "worktodo.ini").read_text()


def test_added_work_is_listed_while_the_search_runs(search: Host, act: Act) -> None:
    assert act("add-work", exponents="859433, 110503") == {"added": "M859433", "known": "M110503"}
    assert lists(search).endswith(",859433,60,1\n")
    assert search.did == []
    orders = search.work / "mprime-0.orders"
    assert read_orders(orders) == (Assignment(859433),)
    assert orders.stat().st_mode & 0o777 == 0o600


def test_prp_work_is_added(search: Host, act: Act) -> None:
    assert act("add-work", exponents="3021377", type="prp")["added"] == "M3021377"
    assert f"PRP={'0' * 32},1,2,3021377,-1," in lists(search)
    assert read_orders(search.work / "mprime-0.orders") == (Assignment(3021377, Kind.PRP),)


def test_added_work_outlives_a_list_that_lost_it(search: Host, act: Act, hook: Hook) -> None:
    act("add-work", exponents="859433")
    (search.directory / "worktodo.ini").write_text("")
    hook()
    assert ",859433," in lists(search)


def test_added_work_starts_a_search_that_had_none_left(search: Host, act: Act) -> None:
    for exponent in (110503, 216091, 756839, 1257787, 1398269, 2976221, 6972593, 13466917):
        stat = search.directory / f"p{exponent}.stat"
        stat.write_text(f"M{exponent} is a known MERSENNE PRIME.\n")
    search.list_work()
    search.end()
    act("add-work", exponents="859433")
    assert search.did == ["started"]
    assert lists(search).count("\n") == 1


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"exponents": "2047"}, "parameter exponents: 2047 is 23 "),
        ({"exponents": "15"}, "parameter exponents: 15 is 3 "),
        ({"exponents": "many"}, "parameter exponents: 'many' is not an exponent"),
        ({"exponents": " "}, "parameter exponents: names no exponent"),
        ({"exponents": "44497"}, "parameter exponents: M44497: mlucas runs Lucas-Lehmer tests of"),
        ({"exponents": "110503", "type": "prp"}, "parameter exponents: M110503: mlucas runs PRP"),
        (
            {"exponents": "2976221", "type": "prp"},
            "parameter type: M2976221 is listed for a Lucas",
        ),
        ({"exponents": "859433", "type": "ecm"}, "parameter type: 'ecm' is not one of: ll, prp"),
    ],
)
def test_work_that_cannot_be_done_is_refused_by_name(
    search: Host, act: Act, params: dict[str, Any], told: str
) -> None:
    before = lists(search)
    with pytest.raises(testing.ActionFailed) as caught:
        act("add-work", **params)
    assert told in caught.value.message
    assert "\n" not in caught.value.message
    assert lists(search) == before
    assert not (search.work / "mprime-0.orders").exists()


def test_an_option_that_contradicts_an_order_blocks_and_says_so(
    search: Host, act: Act, context: Context
) -> None:
    act("add-work", exponents="859433")
    state = replace(SEARCH, config={"image": IMAGE, "worktodo": "PRP=1,2,859433,-1"})
    status = context.run(context.on.config_changed(), state).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("option worktodo: M859433 is listed for a Lucas-Lehmer")
    assert search.containers["mprime-0"].state == "running"


def test_work_that_the_option_leaves_out_stays_listed(search: Host, context: Context) -> None:
    state = replace(SEARCH, config={"image": IMAGE, "worktodo": "859433"})
    context.run(context.on.config_changed(), state)
    assert ",110503," in lists(search)
    assert lists(search).endswith(",859433,60,1\n")


def test_a_paused_search_stays_so_until_it_is_resumed(search: Host, act: Act, hook: Hook) -> None:
    said = "paused; run the action resume to continue with M110503: 0.0 %"
    assert act("pause") == {"message": said}
    assert search.did == ["hold"]
    assert hook() == testing.MaintenanceStatus(said)
    assert search.did == ["hold"]
    assert act("resume") == {"message": "M110503: 0.0 %"}
    assert search.did == ["hold", "started"]
    assert hook() == testing.ActiveStatus("M110503: 0.0 %")


def test_a_pause_outlives_the_container(search: Host, act: Act, hook: Hook) -> None:
    act("pause")
    search.remove("mprime-0")
    search.did.clear()
    for _ in range(2):
        assert hook() == testing.MaintenanceStatus(
            "paused; the action resume continues in a new container"
        )
    assert search.did == []
    assert act("resume") == {"message": "M110503: 0.0 %"}
    assert search.did == ["created"]
    assert hook() == testing.ActiveStatus("M110503: 0.0 %")


def test_a_pause_that_was_killed_is_made_good_by_the_next_hook(
    search: Host, act: Act, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: str) -> None:
        raise ContainerError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(search, "hold", die)
        with pytest.raises(testing.ActionFailed, match="killed"):
            act("pause")
    hook()
    assert search.containers["mprime-0"].state == "exited"


def test_a_search_that_an_earlier_version_paused_stays_so(
    search: Host, act: Act, hook: Hook
) -> None:
    search.hold("mprime-0")
    assert hook().name == "maintenance"
    assert act("resume") == {"message": "M110503: 0.0 %"}


def test_a_pause_goes_with_its_unit(search: Host, act: Act, context: Context) -> None:
    act("pause")
    context.run(context.on.stop(), SEARCH)
    assert not list(search.work.glob("*.hold"))


def test_pause_shows_in_the_status_at_once(search: Host, context: Context) -> None:
    after = context.run(context.on.action("pause"), SEARCH)
    assert after.unit_status.name == "maintenance"


def test_logs_are_the_programs_last_lines(search: Host, act: Act) -> None:
    search.log = ["one", "two", "three"]
    assert act("logs", lines=2) == {"logs": "two\nthree"}


@pytest.mark.parametrize(
    ("action", "params", "told"),
    [
        ("logs", {"lines": 0}, "parameter lines: 0 is out of range; give 1 to 1000"),
        ("benchmark", {"seconds": 4}, "parameter seconds: 4 is out of range; give 5 to 3600"),
        ("stress-test", {"minutes": 0}, "parameter minutes: 0 is out of range; give 0.1 to 1440"),
        ("adopt-work", {"source": "../etc"}, "parameter source: '../etc' is neither a unit nor"),
        ("adopt-work", {"source": "mprime/0"}, "is this unit's own work already"),
        ("adopt-work", {"source": "mprime/5"}, "there is no work named mprime-5; there is: mpri"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    search: Host, act: Act, action: str, params: dict[str, Any], told: str
) -> None:
    with pytest.raises(testing.ActionFailed) as caught:
        act(action, **params)
    assert told in caught.value.message
    assert "\n" not in caught.value.message
    assert search.did == []


@given(st.text(), st.text() | st.sampled_from(["ll", "prp"]))
def test_any_parameters_are_taken_or_refused_in_one_line(exponents: str, kind: str) -> None:
    try:
        AddWork(exponents, kind)
        AdoptWork(kind)
    except ValueError as error:
        assert str(error).startswith("parameter ")
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "action", ["add-work", "pause", "resume", "benchmark", "stress-test", "logs"]
)
def test_an_action_without_a_search_fails_with_one_clear_line(
    host: Host, act: Act, action: str
) -> None:
    params = {"exponents": "859433"} if action == "add-work" else {}
    with pytest.raises(testing.ActionFailed, match="no search on this machine yet"):
        act(action, **params)


def leave(host: Host, name: str, exponent: int) -> Path:
    """Leave work of a unit that is gone."""
    directory = host.work / name
    directory.mkdir(parents=True)
    (directory / "worktodo.ini").write_text(f"Test={exponent},60,1\n")
    (host.work / f"{name}.orders").write_text("ll 859433\n")
    return directory


def test_work_of_a_unit_that_is_gone_is_adopted_and_ones_own_put_aside(
    search: Host, act: Act
) -> None:
    act("add-work", exponents="1000003")
    leave(search, "mprime-3", 3021377)
    assert act("adopt-work", source="mprime/3") == {
        "adopted": "mprime-3",
        "former-work": "mprime-0.1",
    }
    assert search.did == ["remove", "created"]
    assert lists(search).startswith("Test=3021377,60,1\n")
    assert ",859433," in lists(search)
    assert ",1000003," not in lists(search)
    assert ",1000003," in (search.work / "mprime-0.1" / "worktodo.ini").read_text()
    assert sorted(path.name for path in search.work.iterdir()) == [
        "mprime-0",
        "mprime-0.1",
        "mprime-0.1.orders",
        "mprime-0.orders",
    ]
    # And back again.
    assert act("adopt-work", source="mprime-0.1") == {
        "adopted": "mprime-0.1",
        "former-work": "mprime-0.2",
    }
    assert ",1000003," in lists(search)


def test_work_of_a_unit_that_exists_is_not_adopted(search: Host, act: Act) -> None:
    leave(search, "mprime-3", 3021377)
    (search.agents / "unit-mprime-3").mkdir(parents=True)
    with pytest.raises(testing.ActionFailed, match="mprime/3 exists on this machine, and owns"):
        act("adopt-work", source="mprime-3")
    assert search.did == []


def test_a_paused_search_adopts_nothing(search: Host, act: Act) -> None:
    leave(search, "mprime-3", 3021377)
    act("pause")
    with pytest.raises(testing.ActionFailed, match="paused; run the action resume first"):
        act("adopt-work", source="mprime-3")


class KilledError(BaseException):
    """The end of an action that did not end by itself."""


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_an_adoption_that_was_killed_can_run_again_and_loses_nothing(
    search: Host, act: Act, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    act("add-work", exponents="1000003")
    leave(search, "mprime-3", 3021377)
    steps = 0

    def count(change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                raise KilledError
            return change(*arguments, **options)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", count(Path.rename))
        patch.setattr(Path, "unlink", count(Path.unlink))
        with pytest.raises(KilledError):
            act("adopt-work", source="mprime-3")
    if (search.work / "mprime-3").exists():
        act("adopt-work", source="mprime-3")
    assert lists(search).startswith("Test=3021377,60,1\n")
    kept = "".join(path.read_text() for path in search.work.glob("*/worktodo.ini"))
    assert ",1000003," in kept


def test_the_option_remove_work_takes_the_orders_along(
    search: Host, act: Act, context: Context
) -> None:
    act("add-work", exponents="859433")
    config = {"image": IMAGE, "remove-work": True}
    context.run(context.on.stop(), replace(SEARCH, config=config))
    assert list(search.work.iterdir()) == []


def test_results_are_json_too(search: Host, act: Act) -> None:
    search.show("results.txt")
    assert json.loads(act("results")["json"])["composites"][0]["exponent"] == 110527
