from __future__ import annotations

from collections.abc import Callable

import pytest
from ops import testing

from charms.mprime.tests.unit.conftest import IMAGE
from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host
from harvest.workdir import WorkDirectory
from lib.harvest.tests.unit.fake_kernel import Kernel

Run = Callable[..., testing.State]


def test_primenet_takes_a_network_an_account_and_no_list(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    options = {"primenet-user": "me", "computer-name": "rack7"}
    status = run(image=IMAGE, **options).unit_status
    assert status == testing.ActiveStatus("waits for PrimeNet to hand out work; no prime found")
    assert host.specs["mprime-0"].network == "bridge"
    text = (host.directory / "prime.txt").read_text()
    assert {"V5UserID=me", "ComputerID=rack7"} <= set(text.splitlines())
    assert (host.directory / "worktodo.txt").read_text() == "[Worker #1]\n"
    host.did.clear()
    # Without work of its own it is kept running, so that it can ask.
    host.end()
    run(image=IMAGE, **options)
    assert host.did == ["started"]


def test_another_checkpoint_interval_restarts_the_search_once(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.did.clear()
    for _ in range(2):
        run(image=IMAGE, **{"checkpoint-minutes": 0.5})
    assert host.did == ["stop", "started"]


def test_what_factoring_has_done_shows_and_that_primenet_is_out_of_reach(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = MPRIME
    run(image=IMAGE, **{"primenet-user": "me"})
    aid = "0123456789ABCDEF0123456789ABCDEF"
    (host.directory / "worktodo.txt").write_text(f"[Worker #1]\nFactor={aid},1000003,60,61\n")
    host.log = [
        "[Worker Nov 27 22:43] Trial factoring M1000003 to 2^61 is 9.43% complete.  Time: 2 sec.",
        "[Comm thread Nov 27 22:43] CURL library error: Could not resolve host: v5.mersenne.org",
        "[Comm thread Nov 27 22:43] Will try contacting server again in 10 minutes.",
    ]
    status = run(image=IMAGE, **{"primenet-user": "me"}).unit_status
    assert status == testing.ActiveStatus(
        "M1000003: trial factoring to 2^61, 9.4 %; "
        "PrimeNet has been out of reach since Nov 27 22:43"
    )


def test_a_prp_test_that_does_not_fit_on_the_disk_is_refused_by_name(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry[IMAGE] = MPRIME
    host.space = 4_000_000_000
    options = {"image": IMAGE, "worktodo": "PRP=N/A,1,2,82589933,-1"}
    status = run(**options).unit_status
    assert status.name == "blocked"
    assert status.message.startswith("option disk-limit: the disk of ")
    assert "has 4.0 GB for the search, and it may lay aside 5.3 GB" in status.message
    assert not host.containers
    assert run(**options, **{"disk-limit": "3G"}).unit_status.name == "active"
    # What was laid aside is not asked for again.
    host.space = 1_000_000_000
    monkeypatch.setattr(WorkDirectory, "measure", lambda _: 3_000_000_000)
    assert run(**options, **{"disk-limit": "3G"}).unit_status.name == "active"


def test_work_that_can_not_be_saved_is_told(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    assert run(image=IMAGE).unit_status.name == "active"
    host.log = ["[Worker Nov 27 22:50] Error writing intermediate file: p0110503"]
    assert run(image=IMAGE).unit_status == testing.BlockedStatus(
        "mprime can't save its work: Error writing intermediate file: p0110503"
    )
    host.log = []
    host.space = 20_000
    status = run(image=IMAGE).unit_status
    assert status.message.startswith("mprime can't save its work: the disk of ")


def test_a_prp_test_that_dies_where_the_disk_has_no_room_is_told(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    run(image=IMAGE)
    host.end(state="restarting", exit_code=136, ran=2)
    status = run(image=IMAGE).unit_status
    assert status.name == "blocked"
    assert status.message.startswith(
        "mprime can't save its work: it died of SIGFPE (exit code 136)"
    )
    # The next one finds room.
    host.end(state="running", exit_code=136)
    assert run(image=IMAGE).unit_status.name == "active"


def test_mprime_is_started_again_whatever_its_exit_code_said(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    run(image=IMAGE)
    assert host.specs["mprime-0"].restart == "unless-stopped"
    assert host.specs["mprime-0"].stop_timeout >= 60
    # Told to stop soon after it started, such as by an engine that is restarted.
    host.end(exit_code=0, ran=3)
    host.did.clear()
    assert run(image=IMAGE).unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert host.did == ["started"]


def test_mprime_that_waits_for_work_is_out_of_work(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    run(image=IMAGE, worktodo="110503")
    (host.directory / "worktodo.txt").write_text("[Worker #1]\n")
    prime = '{"status":"P", "exponent":110503, "worktype":"LL"}\n'
    (host.directory / "results.json.txt").write_text(prime)
    host.log = ["[Worker Nov 27 22:43] No work to do at the present time.  Waiting."]
    host.did.clear()
    status = run(image=IMAGE, worktodo="110503").unit_status
    assert status == testing.ActiveStatus("out of work; 1 prime found: M110503")
    # It runs on, and takes what is added.
    run(image=IMAGE, worktodo="110503 216091")
    assert (host.directory / "worktodo.add").read_text() == "Test=N/A,216091,99,1\n"
    assert host.did == []


def test_half_a_core_is_one_thread(host: Host, run: Run, kernel: Kernel) -> None:
    host.registry[IMAGE] = MPRIME
    run(image=IMAGE, cpus=0.5)
    assert "CoresPerTest=1" in (host.directory / "prime.txt").read_text().splitlines()
