"""The search as a collector sees it, with a real Prometheus, and the traces of its hooks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jubilant
import pytest

from tests.integration.alerts import write_cases
from tests.integration.fan_steps import build_image
from tests.integration.steps import (
    deploy_search,
    list_subordinates,
    read_search_status,
    reboot_machine,
    reset_options,
    run_hook,
)
from tools.instance import Published, sudo

SERVICE = "mprime-0-metrics.service"
RULES = "/etc/prometheus/collected.rules"
CHARM = "/var/lib/juju/agents/unit-mprime-0/charm"
TRACES = "/var/lib/collector/traces"
# Undoes the search's weight behind the charm's back.
UNDO_WEIGHT = """
for folder in /sys/fs/cgroup/cpu/mprime_0 /sys/fs/cgroup/mprime_0*; do
    if [ -e $folder/cpu.idle ]; then echo 0 > $folder/cpu.idle; fi
done
"""


def ask(juju: jubilant.Juju, question: str) -> Any:
    """What Prometheus answers on its HTTP API."""
    url = f"http://localhost:9090/api/v1/{question}"
    answer = json.loads(sudo(juju, "curl", "-fsS", url, machine=0).stdout)
    assert answer["status"] == "success"
    return answer["data"]


def query(juju: jubilant.Juju, expression: str) -> list[tuple[dict[str, str], float]]:
    """The labels and values of a PromQL expression, now."""
    found = ask(juju, f"query?query={quote(expression)}")["result"]
    return [(each["metric"], float(each["value"][1])) for each in found]


def wait_for(juju: jubilant.Juju, is_so: Callable[[], bool]) -> None:
    juju.wait(lambda _: is_so(), successes=1)


def wait_for_scrapes(juju: jubilant.Juju) -> None:
    """Wait until Prometheus has one target, which answered.

    Its metric `up` may go on for five minutes for a target that is gone.
    """

    def is_up() -> bool:
        return [each["health"] for each in ask(juju, "targets")["activeTargets"]] == ["up"]

    wait_for(juju, is_up)


def list_alerts(juju: jubilant.Juju) -> dict[str, dict[str, Any]]:
    """The alerts that are pending or firing, by name."""
    return {each["labels"]["alertname"]: each for each in ask(juju, "alerts")["alerts"]}


def list_listeners(juju: jubilant.Juju) -> dict[int, str]:
    """The addresses that the machine listens on for TCP, by port."""
    lines = sudo(juju, "ss", "-Hltn", machine=0).stdout.splitlines()
    pairs = [line.split()[3].rpartition(":") for line in lines]
    return {int(port): address for address, _, port in pairs}


def show_service(juju: jubilant.Juju, name: str) -> str:
    """A property of the service that serves the metrics."""
    words = ("systemctl", "show", "--value", f"--property={name}", SERVICE)
    return sudo(juju, *words, machine=0).stdout.strip()


def wait_for_panels(juju: jubilant.Juju, title: str, but: str = "") -> None:
    """Wait until each panel of the one dashboard shows something, but for one metric's."""
    read = sudo(juju, "cat", "/var/lib/collector/dashboards.json", machine=0).stdout
    (dashboard,) = json.loads(read)
    assert dashboard["title"] == title
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(targets) >= 10
    for expression in (target["expr"] for target in targets):
        if but and but in expression:
            continue
        for name in ("juju_model", "juju_model_uuid", "juju_application", "juju_unit"):
            expression = expression.replace(f'{name}=~"${name}"', f'{name}=~".+"')

        def shows(expression: str = expression) -> bool:
            return bool(query(juju, expression))

        wait_for(juju, shows)


@pytest.fixture(scope="module")
def seen(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A model in which the search runs and a collector looks at it."""
    deploy_search(shared_juju, charms, published, published.authority)
    shared_juju.deploy(charms["collector"])
    shared_juju.integrate("apache2:juju-info", "collector:juju-info")
    shared_juju.integrate("mprime:cos-agent", "collector:cos-agent")
    shared_juju.wait(lambda status: "collector/0" in list_subordinates(status), successes=1)
    shared_juju.wait(jubilant.all_active, successes=1)
    wait_for_scrapes(shared_juju)
    return shared_juju


def test_prometheus_gets_the_metrics_with_where_they_come_from(seen: jubilant.Juju) -> None:
    ((labels, running),) = query(seen, "mprime_running")
    assert running == 1
    assert labels["juju_model"] == seen.status().model.name
    assert (labels["juju_application"], labels["juju_unit"]) == ("mprime", "mprime/0")
    wait_for(seen, lambda: bool(query(seen, "mprime_iterations_per_second > 0")))
    wait_for(seen, lambda: bool(query(seen, "mprime_cpu_seconds_total > 0")))
    ((_, exponent),) = query(seen, "mprime_exponent")
    assert exponent == int(seen.run("mprime/0", "progress").results["exponent"])
    ((labels, _),) = query(seen, "mprime_search_info")
    assert (labels["engine"], labels["version"]) == ("mlucas", "20.1.1")
    ((labels, in_force),) = query(seen, "mprime_cpu_policy_in_force")
    assert (labels["policy"], in_force) == ("idle", 1)


def test_the_metrics_are_as_prometheus_wants_them(seen: jubilant.Juju) -> None:
    said = sudo(
        seen, "curl -fsS http://localhost:9634/metrics | promtool check metrics 2>&1", machine=0
    ).stdout
    assert not said.strip()


def test_prometheus_takes_every_alert_rule(seen: jubilant.Juju) -> None:
    def list_rules() -> list[dict[str, Any]]:
        return [rule for group in ask(seen, "rules")["groups"] for rule in group["rules"]]

    assert {"MprimeStalled", "MprimeNotRunning"} <= {rule["name"] for rule in list_rules()}
    wait_for(seen, lambda: {rule["health"] for rule in list_rules()} == {"ok"})
    assert not list_alerts(seen)


def test_the_alerts_fire_when_they_should_and_only_then(
    seen: jubilant.Juju, tmp_path: Path
) -> None:
    ((labels, _),) = query(seen, "mprime_running")
    del labels["__name__"]
    cases = tmp_path / "cases.json"
    cases.write_text(write_cases(RULES, labels))
    seen.scp(cases, "0:/tmp/cases.json")
    said = sudo(seen, "promtool test rules /tmp/cases.json 2>&1", machine=0).stdout
    assert "SUCCESS" in said


def test_every_panel_of_the_dashboard_shows_something(seen: jubilant.Juju) -> None:
    wait_for_panels(seen, "Mersenne prime search")


def test_a_policy_that_is_not_in_force_is_an_alert_until_a_hook_mends_it(
    seen: jubilant.Juju,
) -> None:
    sudo(seen, UNDO_WEIGHT, machine=0)
    wait_for(seen, lambda: "MprimeCpuPolicyNotInForce" in list_alerts(seen))
    alert = list_alerts(seen)["MprimeCpuPolicyNotInForce"]
    assert alert["annotations"]["summary"].startswith("mprime/0 may slow down")
    run_hook(seen, "update-status")
    wait_for(seen, lambda: not list_alerts(seen))


def test_a_search_on_hold_is_paused_and_no_reason_for_an_alert(seen: jubilant.Juju) -> None:
    seen.run("mprime/0", "pause")
    wait_for(seen, lambda: bool(query(seen, "mprime_paused == 1 and mprime_running == 0")))
    wait_for(seen, lambda: not list_alerts(seen))
    seen.run("mprime/0", "resume")
    wait_for(seen, lambda: bool(query(seen, "mprime_paused == 0 and mprime_running == 1")))


def test_whoever_serves_the_metrics_can_read_and_little_else(seen: jubilant.Juju) -> None:
    assert list_listeners(seen)[9634] == "127.0.0.1"
    status = sudo(seen, "cat", f"/proc/{show_service(seen, 'MainPID')}/status", machine=0).stdout
    found = dict(line.split(":\t", 1) for line in status.splitlines())
    cap_dac_read_search = 1 << 2
    assert int(found["CapBnd"], 16) == cap_dac_read_search
    assert int(found["CapEff"], 16) == cap_dac_read_search
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    pid = show_service(seen, "MainPID")
    sudo(seen, f"! nsenter --target {pid} --mount touch /var/lib/mprime/x", machine=0)


def test_another_port_is_where_prometheus_looks_next(seen: jubilant.Juju) -> None:
    seen.config("mprime", {"metrics-port": 9999})
    wait_for(
        seen, lambda: [m["instance"] for m, _ in query(seen, "up == 1")] == ["localhost:9999"]
    )
    assert 9634 not in list_listeners(seen)


def test_a_port_that_is_taken_blocks_and_says_so(seen: jubilant.Juju) -> None:
    seen.config("mprime", {"metrics-port": 9090})
    seen.wait(lambda status: read_search_status(status)[0] == "blocked", successes=1)
    message = read_search_status(seen.status())[1]
    assert message.startswith("option metrics-port: nothing serves metrics on 9090")
    reset_options(seen, "mprime/0", options="metrics-port")
    seen.wait(lambda status: read_search_status(status)[0] == "active", successes=1)
    wait_for_scrapes(seen)


def test_a_refreshed_charm_serves_with_its_own_code(
    seen: jubilant.Juju, charms: dict[str, Path]
) -> None:
    before = show_service(seen, "MainPID")
    run_hook(seen, "update-status")
    assert show_service(seen, "MainPID") == before
    seen.exec("echo >> src/exporter.py", unit="mprime/0")
    run_hook(seen, "update-status")
    assert show_service(seen, "MainPID") != before
    wait_for_scrapes(seen)


def test_after_a_reboot_the_metrics_are_there_again(seen: jubilant.Juju) -> None:
    reboot_machine(seen)
    # Prometheus reads all that it has kept before it listens.
    wait_for(seen, lambda: 9090 in list_listeners(seen))
    wait_for_scrapes(seen)
    # The hooks after a boot may come before the engine has the container up; the next is
    # update-status, which Juju runs every five minutes.
    seen.wait(lambda _: bool(query(seen, "mprime_running == 1")), successes=1, timeout=600)


def test_a_hook_sends_its_trace_to_whoever_takes_them_and_to_nobody_else(
    seen: jubilant.Juju,
) -> None:
    run_hook(seen, "update-status")
    sudo(seen, f"! ls {CHARM}/.tracing-data.db", machine=0)
    seen.integrate("mprime:charm-tracing", "collector:tracing")
    seen.wait(jubilant.all_agents_idle, successes=1)
    sudo(seen, f"rm -f {TRACES}/*", machine=0)
    run_hook(seen, "update-status")
    sent = sudo(seen, f"cat {TRACES}/*.json", machine=0).stdout
    assert '"ops.main"' in sent
    assert '"mprime/0"' in sent
    seen.remove_relation("mprime:charm-tracing", "collector:tracing")
    seen.wait(jubilant.all_agents_idle, successes=1)
    sudo(seen, f"rm -f {TRACES}/*", machine=0)
    run_hook(seen, "update-status")
    assert not sudo(seen, "ls", TRACES, machine=0).stdout.strip()


def test_over_tls_a_trace_is_sent_to_whom_the_charm_was_told_to_trust(
    seen: jubilant.Juju,
) -> None:
    seen.config("collector", {"tls": True})
    seen.integrate("mprime:charm-tracing", "collector:tracing")
    seen.wait(jubilant.all_agents_idle, successes=1)
    run_hook(seen, "update-status")
    assert not sudo(seen, "ls", TRACES, machine=0).stdout.strip()
    seen.integrate("mprime:receive-ca-cert", "collector:send-ca-cert")
    seen.wait(jubilant.all_agents_idle, successes=1)
    run_hook(seen, "update-status")
    assert '"ops.main"' in sudo(seen, f"cat {TRACES}/*.json", machine=0).stdout
    for mine, theirs in (("receive-ca-cert", "send-ca-cert"), ("charm-tracing", "tracing")):
        seen.remove_relation(f"mprime:{mine}", f"collector:{theirs}")
    seen.wait(jubilant.all_agents_idle, successes=1)


def test_without_a_collector_nothing_serves_metrics_any_more(seen: jubilant.Juju) -> None:
    seen.remove_relation("mprime:cos-agent", "collector:cos-agent")
    wait_for(seen, lambda: 9634 not in list_listeners(seen))
    seen.wait(jubilant.all_active, successes=1)
    assert show_service(seen, "LoadState") == "not-found"
    wait_for(seen, lambda: not ask(seen, "targets")["activeTargets"])


def test_a_charm_that_tells_nothing_of_its_own_has_a_dashboard_that_shows_something(
    seen: jubilant.Juju, charms: dict[str, Path]
) -> None:
    build_image(seen, 0)
    recipe = 'FROM box\\nCMD ["/bin/sleep", "1000000"]\\n'
    sudo(seen, f"printf '{recipe}' | docker build --quiet --tag sleeper:1 -", machine=0)
    seen.deploy(charms["spare"], config={"image": "sleeper:1"})
    seen.integrate("apache2:juju-info", "spare:juju-info")
    seen.wait(lambda status: "spare/0" in list_subordinates(status), successes=1)
    seen.wait(jubilant.all_active, successes=1)
    seen.integrate("spare:cos-agent", "collector:cos-agent")
    wait_for_scrapes(seen)
    wait_for_panels(seen, "spare", but="spare_checkpoint_age_seconds")
