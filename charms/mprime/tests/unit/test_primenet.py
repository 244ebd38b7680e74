from __future__ import annotations

from collections.abc import Callable

from ops import testing

from charms.mprime.tests.unit.conftest import IMAGE
from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host

Run = Callable[..., testing.State]


def test_primenet_takes_a_network_an_account_and_no_list(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    options = {"primenet-user": "me", "computer-name": "rack7"}
    status = run(image=IMAGE, **options).unit_status
    assert status == testing.ActiveStatus("waits for PrimeNet to hand out work; no prime found")
    assert host.specs["mprime-0"].network == "bridge"
    text = (host.directory / "prime.txt").read_text()
    assert {"V5UserID=me", "ComputerID=rack7"} <= set(text.splitlines())
    assert (host.directory / "worktodo.txt").read_text() == ""
    host.did.clear()
    # Without work of its own it is kept running, so that it can ask.
    host.end()
    run(image=IMAGE, **options)
    assert host.did == ["started"]


def test_primenet_with_an_image_of_mlucas_blocks_while_the_search_goes_on(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.did.clear()
    assert run(image=IMAGE, **{"primenet-user": "me"}).unit_status == testing.BlockedStatus(
        "option primenet-user: mlucas works without PrimeNet; "
        "name an image with mprime, or leave the option empty"
    )
    assert host.did == []


def test_another_checkpoint_interval_restarts_the_search_once(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.did.clear()
    for _ in range(2):
        run(image=IMAGE, **{"checkpoint-minutes": 0.5})
    assert host.did == ["stop", "started"]
