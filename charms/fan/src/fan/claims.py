"""Which units of this machine want which fan.

Several applications on a machine can each have a unit of this charm there. One fan serves all that
want the same overlay; it goes with the last of them. Each unit keeps what it wants in its own
agent's directory, which survives a reboot and goes with the unit, and reads that of the others.
Juju runs one hook at a time on a machine, so no two write at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pydantic

from fan.config import OWN, Config
from fan.peers import Peer, read_peer
from hostkit import agents, files

_FILE = "fan-claim.json"
_ALL = f"unit-*/{_FILE}"
_PEERS = "fan-peers.json"


@dataclass(frozen=True)
class Claim:
    """What a unit wants.

    Attributes:
        config: what it has brought about; None for one that was refused: it keeps the fan of its
            overlay alive, and has no say in what that is like.
    """

    unit: str
    overlay: IPv4Network
    config: Config | None


def read_claim(unit: str) -> Claim | None:
    """Return a unit's claim; None if it has made none.

    A damaged file counts as none: the unit's next hook writes it again. Options that this revision
    refuses, as one before it took them, count as refused: the fan is still the unit's to remove.
    """
    try:
        answer = json.loads(_locate(unit).read_text())
        overlay, options = IPv4Network(answer["overlay"]), answer["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        return Claim(unit, overlay, options and Config.model_validate(options))
    except pydantic.ValidationError:
        return Claim(unit, overlay, None)


def write_claim(claim: Claim) -> None:
    """Keep a claim, for this machine's other units and for the next boot. Raises OSError."""
    if read_claim(claim.unit) == claim:
        return
    answer = {
        "overlay": str(claim.overlay),
        "config": claim.config and claim.config.model_dump(mode="json", exclude=OWN),
    }
    _write(_locate(claim.unit), answer)


def remove_claim(unit: str) -> None:
    """Forget what a unit wants, and whom it knows."""
    for file in (_FILE, _PEERS):
        _locate(unit, file).unlink(missing_ok=True)


def write_known_peers(unit: str, peers: Sequence[Peer]) -> None:
    """Keep whom a unit knows, for what serves its metrics. Raises OSError."""
    if read_known_peers(unit) != list(peers):
        _write(_locate(unit, _PEERS), {peer.unit: peer.databag() for peer in peers})


def read_known_peers(unit: str) -> list[Peer]:
    """Return whom a unit knows; none if that was not kept."""
    try:
        answer = json.loads(_locate(unit, _PEERS).read_text())
        found = [read_peer(name, databag) for name, databag in answer.items()]
    except (OSError, ValueError, TypeError, AttributeError):
        return []
    return [peer for peer in found if peer]


def is_claimed(overlay: IPv4Network, *, but: str = "") -> bool:
    """Return whether a unit of this machine has claimed a fan, or one other than `but`."""
    return any(claim.overlay == overlay for claim in list_claims(but=but))


def list_claims(*, but: str) -> list[Claim]:
    """Return the claims of this machine's units, apart from one unit's, in order."""
    units = (agents.unit_of(file.parent) for file in agents.AGENTS.glob(_ALL))
    claims = (read_claim(unit) for unit in sorted(units, key=agents.order) if unit != but)
    return [claim for claim in claims if claim]


def match_claims() -> Path:
    """Return the pattern, of the shell's kind, that the files of all claims match."""
    return agents.AGENTS / _ALL


def _locate(unit: str, file: str = _FILE) -> Path:
    return agents.folder_of(unit) / file


def _write(file: Path, answer: Mapping[str, Any]) -> None:
    files.write(file, json.dumps(answer), mode=0o600)
