"""The faults of the endurance benchmark: what can happen to a machine, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Where a fault happens: on the machine, in a unit's charm with its hook tools, or outside of all
# machines, where `juju` is called.
Where = Literal["machine", "mprime", "fan", "model"]
# What is killed in its middle, wherever that is on a machine as slow as this one.
Victim = Literal["", "mprime", "fan", "fanctl", "command"]

# An overlay that is none of the fan's own, over the same tunnel.
OTHER = "251.0.0.0/8"

_DISPATCH = (
    "timeout --signal=KILL {after} env JUJU_HOOK_NAME=update-status "
    "JUJU_DISPATCH_PATH=hooks/update-status ./dispatch || true"
)
_FAN = "venv/bin/python -m fannet"
_KILLED = f"timeout --signal=KILL {{after}} {_FAN}"
_UNDERLAY = "host0/16"
# Faults come faster than systemd lets an engine start again by itself (systemd.unit(5),
# StartLimitBurst=), which no fault of a real machine does.
_COUNT_ANEW = "systemctl reset-failed docker.service docker.socket containerd.service; "
_KILL = "systemctl kill --signal=KILL --kill-who=main"


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        what: in words.
        script: a shell script; `{after}` stands for the seconds until the kill.
        weight: how often it is drawn, beside the others.
        victim: what is killed while it runs; empty if the script takes no time.
    """

    what: str
    where: Where
    script: str
    weight: float = 1
    victim: Victim = ""


KINDS: Mapping[str, Kind] = {
    "mprime-hook": Kind("a hook of mprime is killed", "mprime", _DISPATCH, 2, "mprime"),
    "mprime-hook-start": Kind(
        "a hook of mprime is killed that starts the search",
        "mprime",
        f"docker kill {{search}}; {_DISPATCH}",
        3,
        "mprime",
    ),
    "mprime-hook-create": Kind(
        "a hook of mprime is killed that makes the container again",
        "mprime",
        f"docker rm --force {{search}}; {_DISPATCH}",
        2,
        "mprime",
    ),
    "fan-hook": Kind("a hook of fan is killed", "fan", _DISPATCH, 2, "fan"),
    "fan-hook-tunnel": Kind(
        "a hook of fan is killed that makes the tunnel again",
        "fan",
        f"ip link delete fan-vx8472; {_DISPATCH}",
        2,
        "fan",
    ),
    "fan-hook-rules": Kind(
        "a hook of fan is killed that makes the rules again",
        "fan",
        "nft list tables | grep fannet | while read -r table; do nft delete $table; done; "
        + _DISPATCH,
        1,
        "fan",
    ),
    "fan-hook-programs": Kind(
        "a hook of fan is killed that attaches the programs again",
        "fan",
        f"tc qdisc delete dev fan-vx8472 clsact; {_DISPATCH}",
        1,
        "fan",
    ),
    "fanctl-other": Kind(
        "fanctl is killed that brings another fan up, and down",
        "fan",
        f"{_KILLED} up {OTHER} {_UNDERLAY}; {_KILLED} down {OTHER}; "
        f"{_FAN} up {OTHER} {_UNDERLAY} && {_KILLED} down {OTHER}; {_FAN} down {OTHER}",
        4,
        "fanctl",
    ),
    "fanctl-running": Kind(
        "fanctl is killed that repairs the fan in use",
        "fan",
        f"ip link delete fan-vx8472; {_KILLED} up 250.0.0.0/8 {_UNDERLAY}; "
        f"{_FAN} up 250.0.0.0/8 {_UNDERLAY}",
        3,
        "fanctl",
    ),
    "engine-kill": Kind(
        "the engine is killed", "machine", f"{_COUNT_ANEW}{_KILL} docker.service", 2
    ),
    "containerd-kill": Kind(
        "containerd is killed", "machine", f"{_COUNT_ANEW}{_KILL} containerd.service"
    ),
    "engine-restart": Kind(
        "the engine is restarted", "machine", f"{_COUNT_ANEW}systemctl restart docker.service"
    ),
    "container-kill": Kind("the search is killed", "machine", "docker kill {search}", 3),
    "container-remove": Kind(
        "the search's container is removed", "machine", "docker rm --force {search}", 2
    ),
    "container-restart": Kind(
        "a container of the fan is restarted", "machine", "docker restart --time 0 {neighbour}"
    ),
    "command": Kind("a juju command is killed that changes an option", "model", "", 3, "command"),
    "reset": Kind("the machine is reset", "machine", "systemctl reboot --force --force", 0.3),
}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: a key of KINDS.
        part: of the time that its victim usually takes, until the kill.
    """

    kind: str
    part: float = 0

    def __str__(self) -> str:
        """What happens, in words."""
        when = f", after {self.part:.0%} of its time" if KINDS[self.kind].victim else ""
        return f"{KINDS[self.kind].what}{when}"


def draw_faults(seed: int, number: int) -> list[Fault]:
    """Return a sequence of faults, the same for the same seed; a longer one begins the same."""
    chance = random.Random(seed)  # noqa: S311 - not to be secret, but to come again
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    return [
        Fault(chance.choices(names, weights)[0], round(chance.uniform(0.02, 1.2), 2))
        for _ in range(number)
    ]
