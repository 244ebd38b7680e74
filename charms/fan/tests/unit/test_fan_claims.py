"""Several units on a machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

import ops
import pytest
from ops import testing

import fannet
from charms.fan.tests.unit.fake_host import Host
from fan.claims import Claim, read_claim, remove_claim, write_claim
from fan.config import Config
from hostkit.agents import lives_here

Run = Callable[..., testing.State]
Context = testing.Context[ops.CharmBase]
OVERLAY = IPv4Network("250.0.0.0/8")


@pytest.fixture
def other(charm_type: type[ops.CharmBase], host: Host) -> Context:
    """A unit of another application on the same machine, other/0."""
    host.add_unit("other/0")
    return testing.Context(charm_type, app_name="other", unit_id=0)


@pytest.fixture(autouse=True)
def remove_claims(host: Host) -> Iterator[None]:
    yield
    for unit in ("fan/0", "fan/1", "other/0"):
        if lives_here(unit):
            remove_claim(unit)


def test_the_last_of_two_units_takes_the_fan_down(host: Host, run: Run, second: Context) -> None:
    run()
    run(context=second)
    assert host.did == ["up fan-250 250.0.28.0/24", "network fan 250.0.28.0/24"]
    run("stop")
    assert OVERLAY in host.fans
    assert "fan" in host.networks
    run("stop", context=second)
    assert host.fans == {}
    assert host.networks == {}


def test_a_unit_that_is_gone_without_a_word_holds_nothing(
    host: Host, run: Run, second: Context
) -> None:
    run()
    run(context=second)
    host.remove_unit("fan/1")
    run("stop")
    assert host.fans == {}


def test_options_reach_two_units_of_an_application_one_after_the_other(
    host: Host, run: Run, second: Context
) -> None:
    run()
    run(context=second)
    assert isinstance(run(mtu=1400).unit_status, testing.ActiveStatus)
    assert isinstance(run(context=second, mtu=1400).unit_status, testing.ActiveStatus)
    assert host.fans[OVERLAY].mtu == 1400


def test_two_applications_share_a_fan_where_they_agree(
    host: Host, run: Run, other: Context
) -> None:
    run()
    status = run(context=other).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, no peers yet")
    run("stop")
    assert OVERLAY in host.fans


def test_two_applications_that_disagree_block_the_later_one_by_name(
    host: Host, run: Run, other: Context
) -> None:
    run()
    status = run(context=other, mtu=1400, docker="none").unit_status
    assert status == testing.BlockedStatus(
        "fan/0 on this machine has the fan 250.0.0.0/8 with other options "
        "(mtu 1400 and 0, docker none and network); "
        "give both applications the same, or another overlay"
    )
    assert host.fans[OVERLAY].mtu == 0
    assert "fan" in host.networks
    # The one that was there first goes on, and can still change its mind.
    assert isinstance(run().unit_status, testing.ActiveStatus)
    assert isinstance(run(mtu=1400, docker="none").unit_status, testing.ActiveStatus)
    assert isinstance(
        run(context=other, mtu=1400, docker="none").unit_status, testing.ActiveStatus
    )


def test_the_one_that_was_blocked_takes_over(host: Host, run: Run, other: Context) -> None:
    run()
    run(context=other, mtu=1400)
    run("stop")
    assert OVERLAY in host.fans
    assert isinstance(run(context=other, mtu=1400).unit_status, testing.ActiveStatus)
    assert host.fans[OVERLAY].mtu == 1400


def test_one_that_is_kept_out_of_a_fan_keeps_the_one_it_has(
    host: Host, run: Run, other: Context
) -> None:
    run()
    ninety_nine = {"overlay": "99.0.0.0/8", "docker_network": "fan-99"}
    run(context=other, **ninety_nine)
    status = run(context=other, mtu=1400, docker_network="fan-99").unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert len(host.fans) == 2
    run("stop", context=other)
    assert list(host.fans) == [OVERLAY]


def test_two_applications_with_other_overlays_have_a_fan_each(
    host: Host, run: Run, other: Context
) -> None:
    run()
    status = run(context=other, overlay="99.0.0.0/8", docker_network="fan-99").unit_status
    assert status == testing.ActiveStatus("fan-99 99.0.28.0/24, no peers yet")
    assert sorted(host.networks) == ["fan", "fan-99"]
    run("stop")
    assert list(host.fans) == [IPv4Network("99.0.0.0/8")]
    assert list(host.networks) == ["fan-99"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"overlay": "x", "config": null}'])
def test_a_damaged_claim_is_no_claim_and_is_made_again(host: Host, run: Run, text: str) -> None:
    file = host.agents / "unit-fan-0" / "fan-claim.json"
    file.write_text(text)
    assert read_claim("fan/0") is None
    run()
    assert read_claim("fan/0") == Claim("fan/0", OVERLAY, Config())


def test_a_claim_that_was_refused_is_read_as_such(host: Host) -> None:
    claim = Claim("fan/0", OVERLAY, None)
    write_claim(claim)
    assert read_claim("fan/0") == claim


def test_a_fan_whose_options_a_newer_revision_refuses_goes_with_its_unit(
    host: Host, run: Run
) -> None:
    run()
    file = host.agents / "unit-fan-0" / "fan-claim.json"
    claim = json.loads(file.read_text())
    file.write_text(json.dumps({**claim, "config": {**claim["config"], "port": "refused"}}))
    assert read_claim("fan/0") == Claim("fan/0", OVERLAY, None)
    run("stop")
    assert host.fans == {}


def test_a_fan_that_no_unit_has_claimed_stays_as_it_is_and_keeps_the_unit_out(
    host: Host, run: Run
) -> None:
    mapping = fannet.parse_mapping(str(OVERLAY), "172.30.0.0/16")
    fan = fannet.Fan(mapping, IPv4Address("172.30.0.28"), bridge="lxdbr0", own_bridge=False)
    host.fans[OVERLAY] = fan
    status = run().unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith(f"this machine has the fan {OVERLAY} on lxdbr0, and not from")
    assert f"fanctl down {OVERLAY}" in status.message
    run("stop")
    assert host.fans == {OVERLAY: fan}
    del host.fans[OVERLAY]
    assert isinstance(run().unit_status, testing.ActiveStatus)
    assert host.fans[OVERLAY].bridge == "fan-250"
