"""The numbers and structs of the kernel and of libbpf are written as in their headers."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from fannet import libbpf, links, machine, netlink, probes, programs

CLANG = Path("/usr/bin/clang")
HEADERS = """
#include <stddef.h>
#include <asm/socket.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
"""
# Which names of a module are the kernel's, without their underscore.
KERNELS = r"(IFF|IFLA|IFA|VETH|RT|RTA|RTPROT|RTN|RTM|NLM|NLMSG|NLA|ETH_P|SO)_[A-Z0-9_]+"
# Those that have another name here than there.
OTHERS = {
    "programs._REPLACE": (programs._REPLACE, "BPF_TC_F_REPLACE"),
    "programs.ingress": (programs._ATTACH_POINT["ingress"], "BPF_TC_INGRESS"),
    "programs.egress": (programs._ATTACH_POINT["egress"], "BPF_TC_EGRESS"),
    "libbpf._DEBUG": (libbpf._DEBUG, "LIBBPF_DEBUG"),
    "links._PLACES[0]": (links._PLACES[0], "TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)"),
    "links._PLACES[1]": (links._PLACES[1], "TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)"),
    "links._RX_ERRORS": (links._RX_ERRORS, "offsetof(struct rtnl_link_stats64, rx_errors)"),
    "probes._ETHERTYPE": (probes._ETHERTYPE, "(unsigned int)(SKF_AD_OFF + SKF_AD_PROTOCOL)"),
    "netlink._MESSAGE": (netlink._MESSAGE.size, "sizeof(struct nlmsghdr)"),
    "netlink._ATTRIBUTE": (netlink._ATTRIBUTE.size, "sizeof(struct nlattr)"),
}
# Our structures, what the headers call them, and how the names of their members begin there.
STRUCTS: list[tuple[type[ctypes.Structure], str, str]] = [
    (netlink.IfInfo, "ifinfomsg", "ifi_"),
    (netlink.IfAddr, "ifaddrmsg", "ifa_"),
    (netlink.Route, "rtmsg", "rtm_"),
    (netlink.Tc, "tcmsg", "tcm_"),
    (programs._Hook, "bpf_tc_hook", ""),
    (programs._Options, "bpf_tc_opts", ""),
    (programs._ProgramInfo, "bpf_prog_info", ""),
    (programs._MapInfo, "bpf_map_info", ""),
]
# Members that the headers spell in another way; padding has no name that counts.
MEMBERS = {"ifinfomsg.index": "ifi_index", "tcmsg.index": "tcm_ifindex"}
PADDING = ("pad",)


def find_numbers(module: ModuleType) -> Iterator[tuple[str, int]]:
    for name, value in vars(module).items():
        if isinstance(value, int) and re.fullmatch(KERNELS, name.lstrip("_")):
            yield name.lstrip("_"), value


def find_faults(claims: list[tuple[str, str]]) -> list[str]:
    """Return which claims, each with its name, the compiler does not find true."""
    lines = [f'_Static_assert({claim}, "{name}");' for name, claim in claims]
    done = subprocess.run(
        [
            str(CLANG),
            "-fsyntax-only",
            "-ferror-limit=0",
            f"-I/usr/include/{platform.machine()}-linux-gnu",
            "-xc",
            "-",
        ],
        input="\n".join([HEADERS, *lines]),
        capture_output=True,
        text=True,
        check=False,
    )
    return re.findall(r"error: (.*)", done.stderr)


def test_the_compiler_sees_what_is_wrong() -> None:
    assert find_faults([("right", "IFLA_MTU == 4")]) == []
    assert len(find_faults([("wrong", "IFLA_MTU == 5"), ("unknown", "IFLA_MTV == 4")])) == 2


@pytest.mark.parametrize("module", [machine, links, netlink, probes])
def test_the_kernels_numbers_are_those_of_its_headers(module: ModuleType) -> None:
    # They are fields of 16 bits; the headers write a mask of those as a complement, of 32.
    claims = [(name, f"(__u16)({name}) == {value}") for name, value in find_numbers(module)]
    assert claims
    assert find_faults(claims) == []


def test_numbers_under_names_of_our_own_are_those_of_the_headers() -> None:
    claims = [(name, f"({there}) == {here}") for name, (here, there) in OTHERS.items()]
    assert find_faults(claims) == []


@pytest.mark.parametrize(("structure", "name", "begin"), STRUCTS)
def test_a_struct_is_laid_out_as_in_the_headers(
    structure: type[ctypes.Structure], name: str, begin: str
) -> None:
    claims = []
    for member, *_ in structure._fields_:
        if member in PADDING:
            continue
        there = MEMBERS.get(f"{name}.{member}", f"{begin}{member}")
        offset, size = getattr(structure, member).offset, getattr(structure, member).size
        claims.append((f"{name}.{member}", f"offsetof(struct {name}, {there}) == {offset}"))
        claims.append((f"{name}.{member}", f"sizeof(((struct {name} *)0)->{there}) == {size}"))
    assert claims
    assert find_faults(claims) == []
