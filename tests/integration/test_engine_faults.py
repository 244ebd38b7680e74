"""Settings and engines that refuse, on a real machine with real systemd and a real engine."""

from __future__ import annotations

import json
from pathlib import Path

import jubilant
import pytest

from tests.integration.fan_steps import read_status, run_on
from tests.integration.steps import list_subordinates, read_search_status, run_hook

CONFIG = "/etc/docker/daemon.json"
DROP_INS = "/etc/systemd/system/docker.service.d"
# Debian's unit takes options from a file, Ubuntu's does not; a drop-in gives both any.
START = f"""
mkdir -p {DROP_INS}
printf '[Service]\\nExecStart=\\nExecStart=%s %s\\n' "$(command -v dockerd)" '{{options}}' \
    >{DROP_INS}/options.conf
systemctl daemon-reload
systemctl restart docker.socket docker.service
"""
# Stopped first: a socket cannot start in the moment when systemd tries a failed service again.
WELL = f"""
systemctl stop docker.socket docker.service
rm -f {DROP_INS}/options.conf {CONFIG}
systemctl daemon-reload
systemctl reset-failed docker.service docker.socket
systemctl start docker.socket docker.service
"""


@pytest.fixture(scope="module")
def machine(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> jubilant.Juju:
    """A model with the fan and a search, which has no image, on one machine."""
    shared_juju.deploy(charms["apache2"])
    shared_juju.deploy(charms["fan"])
    shared_juju.deploy(charms["mprime"], config={"image": "127.0.0.1:9/mlucas:1"})
    shared_juju.integrate("apache2:juju-info", "fan:juju-info")
    shared_juju.integrate("apache2:juju-info", "mprime:juju-info")
    shared_juju.wait(lambda status: len(list_subordinates(status)) == 2, successes=1)
    shared_juju.wait(jubilant.all_agents_idle, successes=1)
    return shared_juju


def run_script(juju: jubilant.Juju, script: str) -> str:
    return run_on(juju, 0, "sh", "-c", script)


def read_starts(juju: jubilant.Juju) -> str:
    """Return what changes when the engine is started again."""
    return run_script(juju, "systemctl show docker --property=ExecMainPID,ExecMainStartTimestamp")


def set_bridge(juju: jubilant.Juju, **options: str | int) -> tuple[str, str]:
    """Set options of the fan, and return its status after that."""
    juju.config("fan", dict(options))
    juju.wait(jubilant.all_agents_idle, successes=1)
    return read_status(juju, "fan/0")


def test_a_setting_that_the_engine_refuses_restarts_it_for_one_hook_only(
    machine: jubilant.Juju,
) -> None:
    run_script(machine, START.format(options="-H fd:// --bip=172.27.0.1/16"))
    refused = set_bridge(machine, docker="default-bridge")
    assert refused[0] == "blocked"
    assert "You specified -b & --bip, mutually exclusive options" in refused[1]
    before = read_starts(machine)
    for _ in range(2):
        run_hook(machine, "update-status", unit="fan/0")
        assert read_status(machine, "fan/0") == refused
    assert read_starts(machine) == before
    assert run_script(machine, f"ls {CONFIG} {CONFIG}.fan-250.before 2>/dev/null || true") == ""

    run_script(machine, WELL)
    run_hook(machine, "update-status", unit="fan/0")
    assert read_status(machine, "fan/0")[0] == "active"
    assert json.loads(run_script(machine, f"cat {CONFIG}"))["bridge"] == "fan-250"


def test_many_changes_of_options_within_a_minute_leave_the_engine_running(
    machine: jubilant.Juju,
) -> None:
    for mtu in (1400, 1390, 1380, 1370, 1360):
        assert set_bridge(machine, mtu=mtu)[0] == "active"
        assert json.loads(run_script(machine, f"cat {CONFIG}"))["mtu"] == mtu
    assert run_script(machine, "systemctl is-active docker.service docker.socket").split() == [
        "active",
        "active",
    ]


def test_a_linked_file_of_settings_keeps_link_owner_and_mode(machine: jubilant.Juju) -> None:
    set_bridge(machine, docker="network", mtu=0)
    run_script(
        machine,
        "mkdir -p /srv/docker /etc/docker && "
        "echo '{\"debug\": true}' >/srv/docker/real.json && "
        "chown nobody:docker /srv/docker/real.json && chmod 640 /srv/docker/real.json && "
        f"ln -s /srv/docker/real.json {CONFIG}",
    )
    rights = f"stat -c '%F' {CONFIG}; stat -L -c '%U %G %a' {CONFIG} {CONFIG}.fan-250.before"
    assert set_bridge(machine, docker="default-bridge")[0] == "active"
    link, file, copy = run_script(machine, rights).splitlines()
    assert (link, file, copy) == ("symbolic link", "nobody docker 640", "nobody docker 640")
    assert "fan-250" in run_script(machine, "cat /srv/docker/real.json")
    assert set_bridge(machine, docker="network")[0] == "active"
    assert run_script(machine, f"readlink {CONFIG}").strip() == "/srv/docker/real.json"
    assert run_script(machine, "cat /srv/docker/real.json") == '{"debug": true}\n'
    run_script(machine, f"rm {CONFIG}")


def test_a_file_of_settings_elsewhere_is_the_one_that_is_changed(machine: jubilant.Juju) -> None:
    run_script(machine, "echo '{\"debug\": true}' >/srv/docker/own.json")
    run_script(machine, START.format(options="-H fd:// --config-file=/srv/docker/own.json"))
    assert set_bridge(machine, docker="default-bridge")[0] == "active"
    assert json.loads(run_script(machine, "cat /srv/docker/own.json"))["bridge"] == "fan-250"
    assert set_bridge(machine, docker="network")[0] == "active"
    assert run_script(machine, "cat /srv/docker/own.json") == '{"debug": true}\n'
    run_script(machine, WELL)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (r"\357\273\277{}", "begins with a byte order mark (line 1, column 1)"),
        ("", "is empty"),
        (r"{\n  // debug\n}", "has a comment (line 2, column 3)"),
        ("[]", "is not a JSON object"),
    ],
)
def test_a_broken_file_of_settings_is_why_the_engine_does_not_start(
    machine: jubilant.Juju, text: str, fault: str
) -> None:
    run_script(machine, f"printf '{text}' >{CONFIG}; systemctl restart docker || true")
    # Docker 29 accepts a byte order mark, and a file that is empty.
    runs = run_script(machine, "systemctl is-active docker || true").strip() == "active"
    run_hook(machine, "update-status", unit="fan/0")
    status, message = read_status(machine, "fan/0")
    expected = ("active", False) if runs else ("blocked", True)
    assert (status, f"{CONFIG} {fault}" in message) == expected, message
    run_script(machine, WELL)
    run_hook(machine, "update-status", unit="fan/0")
    assert read_status(machine, "fan/0")[0] == "active"


def test_an_engine_that_accepts_connections_and_never_answers_blocks_soon(
    machine: jubilant.Juju,
) -> None:
    # systemd listens on the socket, and the engine on another: nobody takes what comes.
    run_script(machine, START.format(options="-H unix:///run/other.sock"))
    try:
        for unit in ("fan/0", "mprime/0"):
            # It is killed, and fails, if it takes the minutes that it once took.
            hook = "hooks/update-status"
            words = [f"JUJU_DISPATCH_PATH={hook}", "JUJU_HOOK_NAME=update-status", "./dispatch"]
            machine.exec("timeout", "60", "env", *words, unit=unit)
        for status, message in (
            read_status(machine, "fan/0"),
            read_search_status(machine.status()),
        ):
            assert status == "blocked"
            assert "accepts connections on its socket but does not answer" in message
    finally:
        run_script(machine, WELL)
    run_hook(machine, "update-status", unit="fan/0")
    assert read_status(machine, "fan/0")[0] == "active"


def test_systemd_tells_nobody_the_proxys_password(machine: jubilant.Juju) -> None:
    proxy = "http://me:%68ush1234@127.0.0.1:9"
    escaped = proxy.replace("%", "%%%%")  # for printf, and for systemd
    old = f'[Service]\\nEnvironment="HTTPS_PROXY={escaped}"\\nEnvironment="NO_PROXY=here"\\n'
    run_script(
        machine,
        f"mkdir -p {DROP_INS} && printf '{old}' >{DROP_INS}/dockerhost-proxy.conf && "
        "systemctl daemon-reload && systemctl restart docker",
    )
    show = "systemctl show docker --property=Environment; systemctl cat docker"
    assert "ush1234" in run_script(machine, show)
    before = read_starts(machine)
    machine.model_config({"juju-https-proxy": proxy, "juju-no-proxy": "here"})
    run_hook(machine, "update-status")
    assert "ush1234" not in run_script(machine, show)
    assert read_starts(machine) == before
    machine.model_config({"juju-http-proxy": proxy})
    run_hook(machine, "update-status")
    assert read_starts(machine) != before
    assert "ush1234" not in run_script(machine, show)
    engine = run_script(
        machine, "tr '\\0' '\\n' </proc/$(systemctl show docker -P MainPID)/environ"
    )
    assert f"HTTP_PROXY={proxy}\nHTTPS_PROXY={proxy}\n" in engine
    assert run_script(machine, f"stat -c '%U %a' {DROP_INS}/dockerhost-proxy.env") == "root 600\n"
