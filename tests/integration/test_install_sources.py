"""Sources of packages that operators name: on a real machine, with signed repositories.

Two repositories have a docker-ce each, made of the distribution's docker.io. That the machine has
its engine from one of them shows that the source counted before the engine was installed.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jubilant
import pytest

from tests.integration.steps import list_subordinates, reset_options
from tools.instance import sudo

UNIT = "spare/0"
PREPARE = """
set -eu
# Machines of the local model begin with one; Ubuntu 22.04's leaves its socket to systemd.
systemctl stop docker.service docker.socket
apt-get purge -q -y docker.io
apt-get update -q
apt-get install -q -y --no-install-recommends apt-utils gnupg
export GNUPGHOME=/root/keys
mkdir -m 700 $GNUPGHOME
cd /root
apt-get download -q docker.io
dpkg-deb --raw-extract docker.io_*.deb package
sed -E -i '/^(Breaks|Conflicts|Replaces):/d; s/^Package:.*/Package: docker-ce/' \
    package/DEBIAN/control
for number in 1 2; do
    repository=/srv/repository-$number
    mkdir -p $repository
    sed -i "s/^Version: .*/Version: $number/" /root/package/DEBIAN/control
    dpkg-deb -Znone --build /root/package $repository
    cd $repository
    apt-ftparchive packages . > Packages
    apt-ftparchive release . > $GNUPGHOME/Release
    gpg --batch --quiet --passphrase '' --quick-gen-key tests-$number rsa3072 sign never
    gpg --batch --quiet --local-user tests-$number --clearsign $GNUPGHOME/Release
    mv $GNUPGHOME/Release.asc InRelease
    gpg --armor --export tests-$number > $repository.asc
done
"""
PASSWORD = "correct-horse/battery"
# Encoded, as sudo tells the journal what it runs.
LOGIN = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SERVE = f"""
cat > /srv/serve.py <<'END'
import functools, http.server

class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] == "Basic {LOGIN}":
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="tests"')
        self.end_headers()

handler = functools.partial(Handler, directory="/srv")
http.server.HTTPServer(("127.0.0.1", 8099), handler).serve_forever()
END
systemd-run --unit=serve --property=Type=exec /usr/bin/python3 /srv/serve.py
"""
FILES = "cd /etc/apt && find . -name 'juju-*' | sort"


@pytest.fixture(scope="module")
def machine(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> jubilant.Juju:
    """A machine with apache2 and two repositories, and the charm attached with the first."""
    juju = shared_juju
    juju.deploy(charms["apache2"])
    juju.wait(jubilant.all_agents_idle, successes=1)
    sudo(juju, PREPARE, machine=0, wait=300)
    juju.deploy(charms["spare"], config=name_repository(juju, 1))
    juju.integrate("apache2:juju-info", "spare:juju-info")
    juju.wait(lambda status: UNIT in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)
    return juju


def name_repository(juju: jubilant.Juju, number: int) -> dict[str, Any]:
    key = sudo(juju, "cat", f"/srv/repository-{number}.asc", machine=0).stdout
    return {"install_sources": f"deb file:/srv/repository-{number} ./", "install_keys": key}


def configure(juju: jubilant.Juju, **options: Any) -> str:
    """Set options, and return the unit's message then."""
    juju.config("spare", options)
    juju.wait(jubilant.all_agents_idle, successes=1)
    return read_message(juju)


def read_message(juju: jubilant.Juju) -> str:
    return list_subordinates(juju.status())[UNIT].workload_status.message


def run(juju: jubilant.Juju, script: str) -> str:
    return sudo(juju, script, machine=0).stdout


def show_offer(juju: jubilant.Juju) -> str:
    return run(juju, "apt-cache policy docker-ce")


def test_the_engine_is_installed_from_the_source(machine: jubilant.Juju) -> None:
    assert read_message(machine).startswith("there is no image; ")
    shown = show_offer(machine)
    assert "Installed: 1\n" in shown
    assert " file:/srv/repository-1 ./ Packages" in shown
    assert run(machine, "docker info --format '{{.Name}}'").strip()


def test_all_of_apt_works_with_the_source_and_its_key(machine: jubilant.Juju) -> None:
    names = run(machine, FILES).split()
    assert names[0].startswith("./keyrings/juju-")
    assert names[1:] == ["./sources.list.d/juju-spare-0.list"]
    said = run(machine, "apt-get update --option=APT::Update::Error-Mode=any 2>&1")
    assert "repository-1" in said
    assert not [line for line in said.splitlines() if line.startswith(("E:", "W:"))]


def test_a_source_that_is_signed_by_another_key_is_refused_and_nothing_changes(
    machine: jubilant.Juju,
) -> None:
    before = run(machine, f"{FILES}; cat /etc/apt/sources.list.d/juju-spare-0.list")
    message = configure(machine, install_sources="deb file:/srv/repository-2 ./")
    assert message.startswith("option install_sources: apt-get update: The repository 'file:/srv/")
    assert message.endswith("is not signed.")
    assert run(machine, f"{FILES}; cat /etc/apt/sources.list.d/juju-spare-0.list") == before
    assert "Candidate: 1\n" in show_offer(machine)


def test_another_source_and_key_replace_those_before(machine: jubilant.Juju) -> None:
    before = run(machine, FILES).split()
    assert configure(machine, **name_repository(machine, 2)).startswith("there is no image; ")
    shown = show_offer(machine)
    assert "Installed: 1\n  Candidate: 2\n" in shown
    assert "repository-1" not in shown
    after = run(machine, FILES).split()
    assert len(after) == len(before)
    assert after[0] != before[0]


def test_a_login_opens_a_source_and_is_told_nowhere(machine: jubilant.Juju) -> None:
    run(machine, SERVE)
    source = "deb http://me:{}@127.0.0.1:8099/repository-1 ./"
    options = name_repository(machine, 1)
    refused = configure(machine, **{**options, "install_sources": source.format("wrong-word")})
    assert refused.startswith("option install_sources: apt-get update: Failed to fetch http://127")
    assert "401" in refused
    options["install_sources"] = source.format(quote(PASSWORD, safe=""))
    assert configure(machine, **options).startswith("there is no image; ")
    assert " http://127.0.0.1:8099/repository-1 ./ Packages" in show_offer(machine)
    told = machine.cli("show-unit", UNIT) + machine.debug_log() + machine.cli("status")
    assert "wrong-word" not in told
    assert "correct-horse" not in told
    look = "grep -rl correct[-]horse /etc /var/log /var/lib/apt | xargs stat -c '%a %n'"
    found = run(machine, look)
    assert found.splitlines() == ["600 /etc/apt/auth.conf.d/juju-spare-0.conf"]


def test_what_is_not_understood_is_named_with_what_is(machine: jubilant.Juju) -> None:
    assert configure(machine, install_sources="cloud:jammy-yoga") == (
        "option install_sources: 'cloud:jammy-yoga' is not a source that is understood; give 'deb "
        "URI SUITE COMPONENT', 'https://… SUITE COMPONENT', ppa:OWNER/NAME or distro"
    )


def test_options_that_are_reset_take_all_of_it_away(machine: jubilant.Juju) -> None:
    reset_options(machine, UNIT, options=["install_sources", "install_keys"])
    assert run(machine, FILES) == ""
    assert "Candidate: 1\n" in show_offer(machine)  # what is installed stays
    assert "repository" not in show_offer(machine)


def test_its_removal_leaves_neither_source_nor_key(machine: jubilant.Juju) -> None:
    configure(machine, **name_repository(machine, 2))
    assert run(machine, FILES)
    machine.cli("remove-relation", "apache2:juju-info", "spare:juju-info")
    machine.wait(lambda status: not list_subordinates(status), successes=1)
    assert run(machine, FILES) == ""
    run(machine, "apt-get check")
