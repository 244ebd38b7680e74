"""The charm's events, options and statuses, on a machine of the tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ops
import pytest
import yaml
from golden_host import GOLDEN, Host
from ops import testing

from dockerhost import Image, Mount
from golden_ratio.workload import GOLDEN_RATIO, WRONG
from harvest.metrics import UnitCollector
from harvest.observability import make_rules
from harvest.policy import Policy
from harvest.removal import give_back
from lib.harvest.tests.unit.dashboards import check_dashboard, list_metrics
from tests.charms.load import load_module

CHARM = Path(__file__).parents[2]
Active, Blocked = testing.ActiveStatus, testing.BlockedStatus
Hook = Callable[..., Any]


def test_it_builds_its_image_and_computes_in_a_container_without_rights(
    host: Host, hook: Hook
) -> None:
    assert hook("install") == Active("computing 1,000 digits")
    assert host.did[-3:] == ["build golden-ratio", "prune", "created"]
    spec = host.specs["golden-ratio-0"]
    assert spec.environment == {"DIGITS": "1000", "THREADS": "4", "VERIFY": "fast"}
    assert (spec.command, spec.network, spec.user) == ((), "none", "65532:65532")
    assert (spec.restart, spec.oom_score_adj, spec.pids_limit) == ("on-failure", 1000, 64)
    assert spec.mounts == (Mount(str(host.directory), "/work"),)


def test_others_may_read_what_is_in_the_work_directory(working: Host) -> None:
    assert working.directory.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("verify", "digits", "memory"),
    [
        ("fast", 1000, 17 * 2**20),
        ("fast", 10_000_000, (16 + 67) * 2**20),
        ("full", 10_000_000, (16 + 115) * 2**20),
    ],
)
def test_the_container_may_use_the_memory_that_its_digits_take(
    host: Host, hook: Hook, verify: str, digits: int, memory: int
) -> None:
    hook("install", digits=digits, verify=verify)
    assert host.specs["golden-ratio-0"].memory == memory


@pytest.mark.parametrize(
    ("phase", "told", "text"),
    [
        ("computing", {"step": 0}, "computing 1,000 digits"),
        ("computing", {"step": 3}, "computing 1,000 digits: step 3 of 7"),
        ("writing", {}, "writing 1,000 digits"),
        ("verifying", {}, "verifying 1,000 digits"),
        ("done", {}, "computing 1,000 digits"),  # of the run before, while this one begins
        ("stopped", {}, "computing 1,000 digits"),
        ("computing", {"digits": 2000}, "computing 1,000 digits"),
    ],
)
def test_the_status_tells_how_far_the_digits_are(
    working: Host, hook: Hook, phase: str, told: dict[str, Any], text: str
) -> None:
    working.write_state(phase, **told)
    assert hook() == Active(text)


def test_the_status_tells_digits_and_speed_once_they_are_verified(
    finished: Host, hook: Hook
) -> None:
    assert hook() == Active("1,000 digits, verified; 2,000 digits/s")
    finished.finish(verify="full")
    assert hook() == Active("1,000 digits, verified by two formulas; 2,000 digits/s")
    finished.finish(digits_per_second=None)
    assert hook() == Active("1,000 digits, verified")
    finished.space = 10**6
    assert hook() == Active("1,000 digits, verified; 1 MB left on its disk")


@pytest.mark.parametrize("event", ["config_changed", "start", "upgrade_charm", "update_status"])
def test_no_hook_starts_again_what_is_finished(finished: Host, hook: Hook, event: str) -> None:
    assert hook(event) == Active("1,000 digits, verified; 2,000 digits/s")
    assert finished.did == []


def test_digits_that_somebody_removed_are_computed_again(finished: Host, hook: Hook) -> None:
    (finished.directory / "phi.txt").unlink()
    assert hook() == Active("computing 1,000 digits")
    assert finished.did == ["started"]


def test_another_number_of_digits_is_computed_from_the_start_and_the_status_says_so(
    finished: Host, hook: Hook
) -> None:
    text = "computing 2,000 digits from the start; the 1,000 from before stay until then"
    assert hook("config_changed", digits=2000) == Active(text)
    assert finished.did == ["replaced"]
    assert (finished.directory / "phi.txt").exists()
    finished.write_state("computing", digits=2000, step=3, steps=8)
    assert hook(digits=2000) == Active(
        "computing 2,000 digits from the start: step 3 of 8; the 1,000 from before stay until then"
    )


def test_another_image_verifies_again_what_is_there(finished: Host, hook: Hook) -> None:
    finished.registry["r.example/golden:2"] = replace(GOLDEN, id="sha256:9")
    text = "computing 1,000 digits"
    assert hook("config_changed", image="r.example/golden:2") == Active(text)
    assert finished.did[:2] == ["pull r.example/golden:2", "replaced"]
    assert (finished.directory / "phi.txt").exists()
    finished.write_state("verifying")
    assert hook(image="r.example/golden:2") == Active("verifying 1,000 digits")


def test_an_image_of_something_else_is_refused(host: Host, hook: Hook) -> None:
    host.registry["r.example/other:1"] = Image("sha256:9", {})
    assert hook("install", image="r.example/other:1") == Blocked(
        "image r.example/other:1: its label org.opencontainers.image.title is not golden-ratio"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"digits": 999}, "option digits: 999 is not allowed; give 1000 or more"),
        ({"digits": -5}, "option digits: -5 is not allowed; give 1000 or more"),
        ({"verify": "no"}, "option verify: 'no' is not allowed; give fast or full"),
        (
            {"price_per_hour": -1.0},
            "option price-per-hour: -1.0 is not allowed; give what an hour costs, or 0",
        ),
        ({"currency": "U S D"}, "option currency: 'U S D' is not allowed; give one such as USD"),
        ({"currency": ""}, "option currency: '' is not allowed; give one such as USD"),
        ({"memory_limit": "1x"}, "option memory-limit: '1x' is not a size"),
        ({"install_sources": "jammy"}, "option install_sources: 'jammy' is not a source that is"),
        ({"install_keys": "[null]"}, "option install_keys: it has 1 items, and install_sources"),
    ],
)
def test_a_bad_option_blocks_with_what_is_allowed_while_the_work_goes_on(
    working: Host, hook: Hook, options: dict[str, Any], text: str
) -> None:
    status = hook("config_changed", **options)
    assert isinstance(status, Blocked)
    assert status.message.startswith(text)
    assert working.did == []
    assert hook("config_changed") == Active("computing 1,000 digits")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"digits": 300_000_000}, "300,000,000 do not fit into 2,000 MB of memory with"),
        ({"digits": 300_000_000}, "verify=fast; 283,317,540 fit"),
        ({"digits": 200_000_000, "verify": "full"}, "verify=full; 165,268,565 fit"),
        ({"digits": 10**12}, "1,000,000,000,000 do not fit"),
        ({"digits": 10_000_000, "memory_limit": "64M"}, "67 MB of memory with verify=fast; 7,190"),
    ],
)
def test_more_digits_than_memory_is_enough_for_are_refused_with_the_number_that_fits(
    working: Host, hook: Hook, options: dict[str, Any], text: str
) -> None:
    status = hook("config_changed", **options)
    assert isinstance(status, Blocked)
    assert status.message.startswith("option digits: ")
    assert text in status.message
    assert working.did == []


def test_the_number_that_fits_is_taken(working: Host, hook: Hook) -> None:
    assert isinstance(hook("config_changed", digits=283_317_540), Active)
    assert working.specs["golden-ratio-0"].memory >= 16 * 2**20 + 7 * 283_317_540


def test_what_the_program_refuses_blocks_with_the_option(working: Host, hook: Hook) -> None:
    working.fail(3, "golden-ratio: 1,000 digits need more than the 90 MB there are; 500 fit")
    assert hook() == Blocked(
        "option digits: 1,000 digits need more than the 90 MB there are; 500 fit"
    )


@pytest.mark.parametrize(
    ("code", "lines", "text"),
    [
        (1, ["golden-ratio: no thread can be started"], "no thread can be started"),
        (4, ["golden-ratio: phi.txt: a digit is wrong"], "phi.txt: a digit is wrong"),
        (6, ["golden-ratio: another run works"], "another run works"),
        (2, ["something else"], "it failed, and did not say why"),
        (
            5,
            ["golden-ratio: no room for 1,000 digits: No space left on device"],
            "golden-ratio can't save its work: no room for 1,000 digits: No space left on device",
        ),
    ],
)
def test_a_program_that_fails_blocks_with_what_it_said(
    working: Host, hook: Hook, code: int, lines: list[str], text: str
) -> None:
    working.fail(code, "computing", *lines)
    assert hook() == Blocked(text)


def test_a_program_that_was_killed_is_waited_for(working: Host, hook: Hook) -> None:
    working.fail(137, "step 3 of 7: 500 digits after 0.10 s, saved")
    status = hook()
    assert isinstance(status, testing.WaitingStatus)
    assert status.message.startswith("golden-ratio is restarting: step 3 of 7")


def test_a_unit_beside_another_one_stands_by(host: Host, hook: Hook) -> None:
    host.let_work("golden-ratio/7")
    assert hook("install") == Active("standby: golden-ratio/7 works on this machine")


def test_it_is_paused_and_resumed(finished: Host, hook: Hook, act: Hook) -> None:
    act("pause")
    assert hook() == testing.MaintenanceStatus("paused; run the action resume to continue")
    finished.did.clear()
    act("resume")
    assert finished.did == ["started"]


@pytest.mark.parametrize("keep", [True, False])
def test_the_digits_stay_when_the_unit_goes_unless_that_is_wanted(
    finished: Host, hook: Hook, keep: bool
) -> None:
    hook("stop", remove_work=not keep)
    assert finished.containers == {}
    assert (finished.directory / "phi.txt").exists() is keep


def test_what_notices_that_a_unit_is_gone_keeps_its_digits(finished: Host) -> None:
    assert give_back(GOLDEN_RATIO, "golden-ratio/0") == 0
    assert finished.containers == {}
    assert (finished.directory / "phi.txt").exists()


def test_it_has_the_metrics_of_every_such_charm_and_its_own(finished: Host, hook: Hook) -> None:
    describe = load_module(CHARM, "exporter").describe_digits

    def collect() -> dict[str, float]:
        collector = UnitCollector(GOLDEN_RATIO, "golden-ratio/0", Policy.IDLE, describe)
        return {each.name: each.value for metric in collector.collect() for each in metric.samples}

    found = collect()
    assert (found["golden_ratio_digits"], found["golden_ratio_verified"]) == (1000, 1)
    assert found["golden_ratio_digits_per_second"] == 2000
    assert found["golden_ratio_running"] == 0
    hook("config_changed", digits=2000)
    (finished.directory / "step").write_text("")
    found = collect()
    assert (found["golden_ratio_digits"], found["golden_ratio_verified"]) == (2000, 0)
    assert "golden_ratio_digits_per_second" not in found
    assert found["golden_ratio_checkpoint_age_seconds"] >= 0
    finished.fail(WRONG)
    assert collect()["golden_ratio_wrong"] == 1


def test_its_alerts_look_at_metrics_that_are_served_and_its_dashboard_shows_all(
    finished: Host, hook: Hook
) -> None:
    describe = load_module(CHARM, "exporter").describe_digits
    collector = UnitCollector(GOLDEN_RATIO, "golden-ratio/0", Policy.IDLE, describe)
    served = {each.name for metric in collector.collect() for each in metric.samples}
    hook("config_changed", digits=2000)
    (finished.directory / "step").write_text("")
    served |= {each.name for metric in collector.collect() for each in metric.samples}
    (own,) = (CHARM / "src" / "prometheus_alert_rules").glob("*.rules")
    served.add("golden_ratio_cpu_seconds_total")  # of a group that is the kernel's
    for text in (make_rules(GOLDEN_RATIO), own.read_text()):
        assert set(re.findall(r"golden_ratio_\w+", text)) <= served
    assert list_metrics(GOLDEN_RATIO, CHARM) == served
    check_dashboard(GOLDEN_RATIO, CHARM)


def test_every_option_has_the_default_that_is_checked(charm_type: type[ops.CharmBase]) -> None:
    listed = yaml.safe_load((CHARM / "charmcraft.yaml").read_text())["config"]["options"]
    defaults = {name: each["default"] for name, each in listed.items() if "default" in each}
    checked = {
        name if name.startswith("install_") else name.replace("_", "-"): field
        for name, field in GOLDEN_RATIO.options.model_fields.items()
    }
    assert listed.keys() == checked.keys()
    for name in ("digits", "verify", "price-per-hour", "currency", "metrics-port"):
        assert defaults[name] == checked[name].default
