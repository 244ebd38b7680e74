"""The local model's own speed, with everything cached that can be."""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jubilant

from benchmarks.figures import Figure, Outcome, Report, end_round
from tools import pack
from tools.instance import localmodel, own_instance, private_registry, publish, sudo

# So many units that the cost of one more dispatch stands out from a command's own start.
MANY = 11

# The tools that ops calls in an update-status that sets a status, and nothing else: what a
# dispatch takes then is the local model's, but for starting sh and perl.
TOOLS_ONLY = """\
#!/bin/sh
date +%s.%N >>/var/log/dispatched
juju-log --log-level DEBUG -- "ops up and running"
is-leader --format=json
config-get --format=json
relation-ids peers --format=json
relation-ids juju-info --format=json
juju-log --log-level DEBUG -- "Emitting Juju event"
status-get --include-data --format=json --application=false
status-set --application=False active -- "at $(date +%N)"
application-version-set -- 1
opened-ports --format=json
"""


def measure(rounds: int, report: Report) -> Outcome:
    """Measure in a local model of its own; about three minutes."""
    charms = pack.pack(["apache2", "mprime", "registry"])
    report("making a local model of its own")
    with own_instance("localmodel-bench"), tempfile.TemporaryDirectory() as folder:
        tools_only = pack_charm(Path(folder) / "tools-only.charm")
        return Outcome(
            (
                measure_first_hook(tools_only, rounds, report),
                measure_dispatch(tools_only, 2 * rounds, report),
                measure_deploy(charms, rounds, report),
            )
        )


def pack_charm(path: Path) -> Path:
    """Pack a charm that is a shell script."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.yaml", "name: tools-only\nsummary: calls hook tools\n")
        dispatch = zipfile.ZipInfo("dispatch")
        dispatch.external_attr = 0o100755 << 16
        archive.writestr(dispatch, TOOLS_ONLY)
    return path


@contextmanager
def own_model() -> Iterator[jubilant.Juju]:
    """A model for one run."""
    with jubilant.temp_model() as juju:
        juju.wait_timeout = 600
        yield juju


def measure_first_hook(charm: Path, rounds: int, report: Report) -> Figure:
    """From asking for a machine until the first line of its first hook."""
    values = []
    for run in range(rounds):
        with own_model() as juju:
            began = time.time()
            juju.deploy(charm)
            log = sudo(juju, "head", "-n1", "/var/log/dispatched", machine=0).stdout
            values.append(float(log) - began)
            end_round(report, "first hook", run, rounds)
    return Figure("add-machine to its first hook", "s", tuple(values), 15.0)


def measure_dispatch(charm: Path, rounds: int, report: Report) -> Figure:
    """One more dispatch of a charm that only calls hook tools: many units' less one unit's."""
    values = []
    with own_model() as one, own_model() as many:
        one.deploy(charm)
        many.deploy(charm)
        many.add_unit("tools-only", num_units=MANY - 1, to=["0"] * (MANY - 1))
        for run in range(rounds):
            extra = time_tick(many) - time_tick(one)
            values.append(extra / (MANY - 1) * 1000)
            end_round(report, "dispatch", run, rounds)
    return Figure("own cost of one dispatch", "ms", tuple(values), 100.0)


def time_tick(juju: jubilant.Juju) -> float:
    """Time an update-status of every unit, in seconds."""
    began = time.monotonic()
    localmodel("tick", "--model", str(juju.model))
    return time.monotonic() - began


def measure_deploy(charms: dict[str, Path], rounds: int, report: Report) -> Figure:
    """Two machines with apache2, each with a search beside it that runs."""
    values = []
    with private_registry(charms["registry"]) as registry:
        published = publish(registry, "mlucas")
        options = {"image": published.image, "registry-ca": published.authority}
        for run in range(rounds):
            with own_model() as juju:
                began = time.monotonic()
                juju.deploy(charms["apache2"], num_units=2)
                juju.deploy(charms["mprime"], config=options)
                juju.integrate("apache2", "mprime")
                juju.wait(is_complete, successes=1)
                values.append(time.monotonic() - began)
            end_round(report, "deploy", run, rounds)
    return Figure("2 machines with 2 subordinates", "s", tuple(values), 120.0)


def is_complete(status: jubilant.Status) -> bool:
    """Whether both searches run."""
    return len(status.get_units("mprime")) == 2 and jubilant.all_active(status)
