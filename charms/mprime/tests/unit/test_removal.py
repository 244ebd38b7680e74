"""How a unit leaves: Juju may tell by `stop`, by the end of its relation, or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ops
import pytest
from ops import testing

from charms.mprime.tests.unit.conftest import IMAGE, RELATION, SEARCH, SOURCE
from charms.mprime.tests.unit.fake_host import Host
from harvest.removal import give_back
from lib.cosagent.tests.unit.fixtures import no_hook_tools
from lib.harvest.tests.unit.fake_kernel import Kernel
from mprime import search as workload

__all__ = ["no_hook_tools"]

Context = testing.Context[ops.CharmBase]
OTHER = testing.SubordinateRelation("juju-info", remote_app_name="haproxy")


def test_the_end_of_the_relation_to_its_principal_removes_the_search(
    search: Host, context: Context
) -> None:
    context.run(context.on.relation_broken(RELATION), SEARCH)
    assert not search.containers
    assert (search.directory / "worktodo.ini").exists()


def test_the_end_of_a_relation_to_another_application_leaves_the_search_alone(
    search: Host, context: Context
) -> None:
    state = dataclasses.replace(SEARCH, relations={RELATION, OTHER})
    context.run(context.on.relation_broken(OTHER), state)
    assert search.containers["mprime-0"].state == "running"


def test_a_relation_to_another_application_does_not_keep_the_search(
    search: Host, context: Context
) -> None:
    state = dataclasses.replace(SEARCH, relations={RELATION, OTHER})
    context.run(context.on.relation_broken(RELATION), state)
    assert not search.containers


@pytest.mark.parametrize("event", ["stop", "relation_broken"])
def test_the_work_goes_along_where_the_operator_wants_that(
    search: Host, context: Context, event: str
) -> None:
    state = dataclasses.replace(SEARCH, config={"image": IMAGE, "remove-work": True})
    which = context.on.stop() if event == "stop" else context.on.relation_broken(RELATION)
    context.run(which, state)
    assert not search.directory.exists()


def test_a_unit_that_is_gone_without_a_hook_leaves_who_notices(
    search: Host, context: Context, kernel: Kernel
) -> None:
    assert "mprime-0-orphan.path" in kernel.enabled
    service = kernel.slices / "mprime-0-orphan.service"
    assert "src/orphan.py mprime/0\n" in service.read_text()
    state = dataclasses.replace(SEARCH, config={"image": IMAGE, "remove-work": True})
    context.run(context.on.config_changed(), state)
    assert "src/orphan.py mprime/0 --work\n" in service.read_text()


def test_what_notices_removes_the_search_and_itself(
    search: Host, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert give_back(workload.SEARCH, "mprime/0") == 0
    assert not search.containers
    assert (search.directory / "worktodo.ini").exists()
    assert not list(kernel.slices.glob("mprime*"))
    assert capsys.readouterr().err == ""


def test_what_notices_fails_in_one_line_and_can_run_again(
    search: Host,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/x")

    with monkeypatch.context() as patch:
        patch.setattr("harvest.reconcile.remove_parent", fail)
        assert give_back(workload.SEARCH, "mprime/0") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (kernel.slices / "mprime-0-orphan.path").exists()
    assert give_back(workload.SEARCH, "mprime/0") == 0


def test_a_stop_in_which_no_hook_tool_works_removes_the_search_all_the_same(
    search: Host, no_hook_tools: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_: type[ops.CharmBase]) -> None:
        raise ops.ModelError("ERROR connection is shutdown before send")

    source = SOURCE / "charm.py"
    monkeypatch.setattr("ops.main", fail)
    monkeypatch.setenv("JUJU_UNIT_NAME", "mprime/0")
    monkeypatch.setenv("JUJU_HOOK_NAME", "config-changed")
    code = compile(source.read_text(), str(source), "exec")
    with pytest.raises(ops.ModelError):
        exec(code, {"__name__": "__main__"})  # noqa: S102  (as `dispatch` runs it)
    assert search.containers
    monkeypatch.setenv("JUJU_HOOK_NAME", "stop")
    with pytest.raises(SystemExit) as left:
        exec(code, {"__name__": "__main__"})  # noqa: S102
    assert left.value.code == 0
    assert not search.containers
