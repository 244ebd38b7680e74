"""What the fan asks of its machine and changes there, in one object; a test passes another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dockerhost
import fannet
from fan.lxd import Lxd, is_here
from fannet import check, dhcp, probes
from hostkit import apt


class System:
    """The machine that this runs on: its kernel, engines and packages."""

    find_underlay = staticmethod(fannet.find_underlay)
    find_mtu = staticmethod(fannet.find_mtu)
    up = staticmethod(fannet.up)
    down = staticmethod(fannet.down)
    list_fans = staticmethod(fannet.list_fans)
    read = staticmethod(fannet.read)
    check_host = staticmethod(check.check_machine)
    check_peer = staticmethod(check.check_peer)
    ping = staticmethod(probes.ping)
    ensure_dhcp = staticmethod(dhcp.ensure_dhcp)
    remove_dhcp = staticmethod(dhcp.remove_dhcp)
    ensure_engine = staticmethod(dockerhost.ensure_engine)
    ensure_sources = staticmethod(apt.ensure_sources)
    remove_sources = staticmethod(apt.remove_sources)
    ensure_packages = staticmethod(apt.ensure_packages)
    open_docker = staticmethod(dockerhost.Networks)
    ensure_daemon_settings = staticmethod(dockerhost.ensure_daemon_settings)
    give_back_daemon_settings = staticmethod(dockerhost.give_back_daemon_settings)
    open_lxd = staticmethod(Lxd)
    has_lxd = staticmethod(is_here)

    @staticmethod
    def list_missing(programs: Mapping[str, str]) -> list[str]:
        """Return the packages of those programs that are not there.

        Args:
            programs: the package that each comes with, by its absolute path.
        """
        return [package for program, package in programs.items() if not Path(program).exists()]
