from __future__ import annotations

from collections.abc import Callable

import pytest
from ops import testing

from charms.mprime.tests.unit.conftest import IMAGE
from charms.mprime.tests.unit.fake_host import MLUCAS, Host
from dockerhost import Image
from mprime.engines import ADAPTERS
from mprime.engines.autoprimenet import find_outage

Run = Callable[..., testing.State]
WITH_CLIENT = Image(id="sha256:4", labels={**MLUCAS.labels, "mersenne.primenet": "autoprimenet"})
OPTIONS = {"image": IMAGE, "primenet-user": "me", "computer-name": "rack7"}
STARTS = (
    "autoprimenet.py: [MainThread 2026-11-27 {}:02,345]  INFO: AutoPrimeNet assignment handler"
)
FAILS = (
    "autoprimenet.py: [MainThread 2026-11-27 {}:05,678]  ERROR: HTTPSConnectionPool("
    "host='v5.mersenne.org', port=443): Max retries exceeded with url: /v5server/?px=GIMPS"
)
ENDS = "AutoPrimeNet ended with 0"


def test_an_image_of_mlucas_without_autoprimenet_is_refused_while_the_search_goes_on(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.did.clear()
    assert run(**OPTIONS).unit_status == testing.BlockedStatus(
        "option primenet-user: the image holds mlucas without AutoPrimeNet; name one with both "
        "(see images/mlucas-primenet) or with mprime, or leave the option empty"
    )
    assert host.did == []


def test_an_image_of_mlucas_with_autoprimenet_takes_part(host: Host, run: Run) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    status = run(**OPTIONS).unit_status
    assert status == testing.ActiveStatus("waits for PrimeNet to hand out work; no prime found")
    spec = host.specs["mprime-0"]
    assert (spec.network, spec.user, spec.read_only) == ("bridge", "65532:65532", True)
    assert spec.memory > 10**9  # for what PrimeNet hands out
    assert (host.directory / "primenet.txt").read_text() == "direct\n"
    lines = (host.directory / "prime.ini").read_text().splitlines()
    assert lines[0] == "[PrimeNet]"
    assert {"username=me", "ComputerID=rack7", "workfile=worktodo.ini", "mlucas=True"} < set(lines)


def test_what_autoprimenet_makes_of_its_settings_is_kept_and_starts_nothing_again(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    run(**OPTIONS)
    file = host.directory / "prime.ini"
    # It writes every key in its own way, and what the server answered.
    text = file.read_text().replace("=", " = ").replace("username = me", "username = Me")
    file.write_text(f"{text}ComputerGUID = 0123\n\n[Internals]\nSrvrP00 = 1\n")
    host.did.clear()
    run(**OPTIONS)
    assert host.did == []
    run(**OPTIONS, **{"work-preference": 101})
    assert host.did == ["stop", "started"]
    assert {"ComputerGUID = 0123", "[Internals]", "WorkPreference=101", "username=me"} < set(
        file.read_text().splitlines()
    )


def test_without_an_account_again_autoprimenet_is_off(host: Host, run: Run) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    run(**OPTIONS)
    run(image=IMAGE)
    assert (host.directory / "primenet.txt").read_text() == "off\n"
    assert host.specs["mprime-0"].network == "none"
    host.did.clear()
    run(image=IMAGE)
    assert host.did == []


def test_autoprimenet_goes_through_the_models_proxy(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    proxy = "http://me:hush@proxy.example:3128"
    monkeypatch.setenv("JUJU_CHARM_HTTP_PROXY", proxy)
    run(**OPTIONS)
    file = host.directory / "primenet.txt"
    assert file.read_text() == f"{proxy}\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_work_that_mlucas_does_not_do_for_primenet_is_refused_by_number(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    status = run(**OPTIONS, **{"work-preference": 2}).unit_status
    assert status == testing.BlockedStatus(
        "option work-preference: mlucas does not do 2; "
        "give one of: 100, 101, 102, 104, 150, 151, 152, 153, 154"
    )


def test_a_work_preference_of_0_leaves_the_choice_to_primenet(host: Host, run: Run) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    run(**OPTIONS, **{"work-preference": 101})
    status = run(**OPTIONS, **{"work-preference": 0}).unit_status
    assert isinstance(status, testing.ActiveStatus)
    assert "WorkPreference" not in (host.directory / "prime.ini").read_text()


def test_autoprimenet_is_out_of_reach_from_the_first_round_that_fails_to_one_that_does_not() -> (
    None
):
    first, second = (
        [STARTS.format(time), FAILS.format(time), ENDS] for time in ("22:43", "23:13")
    )
    well = [STARTS.format("23:43"), ENDS]
    assert find_outage([*well, *first, *second]) == "2026-11-27 22:43"
    # The next round has only begun.
    assert find_outage([*first, *second, *well[:1]]) == "2026-11-27 22:43"
    assert find_outage([*first, *second, *well]) == ""
    assert find_outage([*first, *well, *second]) == "2026-11-27 23:13"


def test_a_round_that_can_not_register_is_one_that_fails() -> None:
    said = (
        "[MainThread 2026-11-27 22:43:05,678]  CRITICAL: Error while registering on mersenne.org"
    )
    assert find_outage([f"autoprimenet.py: {said}", "AutoPrimeNet ended with 1"])


def test_that_primenet_is_out_of_reach_shows(host: Host, run: Run) -> None:
    host.registry[IMAGE] = WITH_CLIENT
    run(**OPTIONS)
    host.list_work(110503)
    host.log = [STARTS.format("22:43"), FAILS.format("22:43"), ENDS]
    assert run(**OPTIONS).unit_status == testing.ActiveStatus(
        "M110503: 0.0 %; PrimeNet has been out of reach since 2026-11-27 22:43"
    )


def test_what_primenet_hands_out_takes_memory() -> None:
    mlucas = ADAPTERS["mlucas"]
    assert mlucas.choose_memory([], asks=True) > 4 * mlucas.choose_memory([])
