"""LXD's networks, through its API, on the socket of this machine.

What a network was like before is kept in the network's own configuration, under a key of the
user's space, which LXD keeps and does not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import docker.transport
import requests

# Debian's and Ubuntu's package, and the snap.
SOCKETS = (
    Path("/var/snap/lxd/common/lxd/unix.socket"),
    Path("/var/lib/lxd/unix.socket"),
)
_TIMEOUT = 60  # seconds; a changed bridge restarts its DHCP server
_BEFORE = "user.fan.before"
_OVERLAY = "user.fan.overlay"
_INSTANCES = "/1.0/instances/"


class LxdError(Exception):
    """LXD refused, or is not there; the text is its reason, in one line."""


@dataclass(frozen=True)
class Network:
    """An LXD network.

    Attributes:
        config: LXD's own keys, such as ipv4.address.
        overlay: the fan's, if the network is one through us; otherwise empty.
        users: the names of the instances that are attached; sorted.
    """

    name: str
    config: Mapping[str, str]
    overlay: str
    users: tuple[str, ...]


class Lxd:
    """The LXD of this machine. Every method raises LxdError."""

    def __init__(self) -> None:
        socket = next((each for each in SOCKETS if each.exists()), None)
        if socket is None:
            raise LxdError(
                "LXD is not on this machine; install it and run lxd init --auto, or give lxd=false"
            )
        self._session = requests.Session()
        self._session.trust_env = False  # proxies are for the network
        self._session.mount(
            "http+unix://", docker.transport.UnixHTTPAdapter(f"http+unix://{socket}", _TIMEOUT)
        )

    def check(self, name: str) -> None:
        """Refuse a network that can't be a fan.

        Raises:
            LxdError: there is no such bridge, or all members of a cluster share it.
        """
        self._find(name)

    def ensure(self, name: str, overlay: str, wanted: Mapping[str, str]) -> bool:
        """Give a network these keys, and remember what it had; return whether that was a change.

        Raises:
            LxdError: there is no such bridge, all members of a cluster share it, it is the fan of
                another overlay, or LXD refused.
        """
        there, tag = self._find(name)
        if there.get(_OVERLAY, overlay) != overlay:
            raise LxdError(
                f"{name} is the fan {there[_OVERLAY]} already; "
                "name another network with the option lxd-network"
            )
        before = {**{key: there.get(key) for key in wanted}, **_parse(there.get(_BEFORE))}
        marks = {_OVERLAY: overlay, _BEFORE: json.dumps(before, sort_keys=True)}
        return self._put(name, there, {**there, **wanted, **marks}, tag)

    def _find(self, name: str) -> tuple[dict[str, str], str]:
        """Return the keys and the tag of a bridge that this LXD alone manages."""
        server = self._ask("GET", "/1.0").json()["metadata"]["environment"]
        if server.get("server_clustered"):
            # It would accept one machine's address, and give it to the bridges of all.
            raise LxdError(
                "LXD is in a cluster, where a network has one address for all machines; "
                "give lxd=false and dhcp=true, and attach containers to the fan's own bridge"
            )
        answer, tag = self._get(name)
        if answer is None:
            raise LxdError(
                f"LXD has no network {name}; run lxd init --auto, "
                "or name one with the option lxd-network"
            )
        if answer["type"] != "bridge" or not answer["managed"]:
            raise LxdError(
                f"{name} is not a bridge that LXD manages; name one with the option lxd-network"
            )
        return answer["config"], tag

    def give_back(self, name: str) -> bool:
        """Give back what `ensure` changed; return whether there was anything."""
        answer, tag = self._get(name)
        if answer is None or _OVERLAY not in answer["config"]:
            return False
        there = answer["config"]
        config = {key: value for key, value in there.items() if key not in (_OVERLAY, _BEFORE)}
        for key, value in _parse(there.get(_BEFORE)).items():
            if value is None:
                config.pop(key, None)
            else:
                config[key] = value
        return self._put(name, there, config, tag)

    def list_fans(self, overlay: str) -> list[Network]:
        """Return the networks that are the fan of an overlay through us."""
        answers = self._ask("GET", "/1.0/networks?recursion=1").json()["metadata"]
        networks = [_read(answer) for answer in answers if answer["managed"]]
        return [network for network in networks if network.overlay == overlay]

    def _get(self, name: str) -> tuple[dict[str, Any] | None, str]:
        """Return a network and its tag, which a change of it must name; None if there is none."""
        answer = self._ask("GET", f"/1.0/networks/{name}")
        if answer.status_code == requests.codes.not_found:
            return None, ""
        return answer.json()["metadata"], answer.headers.get("ETag", "")

    def _put(
        self, name: str, there: Mapping[str, str], config: Mapping[str, str], tag: str
    ) -> bool:
        if config == there:
            return False
        # The tag: somebody may have changed the network just now; the next hook sees that.
        self._ask("PUT", f"/1.0/networks/{name}", {"config": config}, {"If-Match": tag})
        return True

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = f"http+unix://lxd{path}"
        try:
            answer = self._session.request(
                method, url, json=body, headers=headers, timeout=_TIMEOUT
            )
            if answer.ok or (method == "GET" and answer.status_code == requests.codes.not_found):
                return answer
            reason = str(answer.json().get("error", answer.reason))
        except requests.RequestException as error:
            raise LxdError(f"LXD does not answer on its socket: {error}") from error
        raise LxdError(f"LXD refused: {' '.join(reason.split())}")


def is_here() -> bool:
    """Return whether there is an LXD on this machine."""
    return any(each.exists() for each in SOCKETS)


def _read(answer: Mapping[str, Any]) -> Network:
    users = [each for each in answer.get("used_by") or () if each.startswith(_INSTANCES)]
    return Network(
        name=answer["name"],
        config=answer["config"],
        overlay=answer["config"].get(_OVERLAY, ""),
        users=tuple(sorted(each.removeprefix(_INSTANCES).partition("?")[0] for each in users)),
    )


def _parse(text: str | None) -> dict[str, str | None]:
    # Someone who has edited it by hand may have damaged it; what it said is lost then.
    try:
        before = json.loads(text or "{}")
    except ValueError:
        return {}
    return cast("dict[str, str | None]", before) if isinstance(before, dict) else {}
