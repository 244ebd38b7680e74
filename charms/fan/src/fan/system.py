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
    read = staticmethod(fannet.read)
    check_host = staticmethod(check.check_host)
    check_peer = staticmethod(check.check_peer)
    ping = staticmethod(probes.ping)
    start_dhcp = staticmethod(dhcp.start_dhcp)
    stop_dhcp = staticmethod(dhcp.stop_dhcp)
    install_engine = staticmethod(dockerhost.install)
    install_packages = staticmethod(apt.install)
    open_docker = staticmethod(dockerhost.Networks)
    settle_daemon = staticmethod(dockerhost.settle_daemon)
    restore_daemon = staticmethod(dockerhost.restore_daemon)
    open_lxd = staticmethod(Lxd)
    has_lxd = staticmethod(is_here)

    @staticmethod
    def list_missing(programs: Mapping[str, str]) -> list[str]:
        """Return the packages of those programs that are not there.

        Args:
            programs: the package that each comes with, by its absolute path.
        """
        return [package for program, package in programs.items() if not Path(program).exists()]
