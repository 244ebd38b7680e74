"""The hook tools about the network: the addresses and the ports of a unit."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, UsageError
from localmodel.hooktools.registry import arg, is_number, tool
from localmodel.hooktools.relation import RELATION, find_relation

# What network-get can be asked for alone, by its flag.
NETWORK_FLAGS = ("--bind-address", "--egress-subnets", "--ingress-address", "--primary-address")


@tool(
    "network-get",
    RELATION,
    *(arg(flag, action="store_true") for flag in NETWORK_FLAGS),
    arg("binding", nargs="?"),
)
def network_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    if args.binding is None:
        raise UsageError("no arguments specified")
    if args.relation is not None:
        find_relation(context, args.relation)
    network = context.network(args.binding)
    (device,) = network["bind-addresses"]
    address = device["addresses"][0]["value"]
    parts = {
        "bind-address": address,
        "egress-subnets": network["egress-subnets"],
        "ingress-address": network["ingress-addresses"][0],
        "primary-address": address,
    }
    asked = {name: part for name, part in parts.items() if vars(args)[name.replace("-", "_")]}
    if asked:
        return asked if len(asked) > 1 else next(iter(asked.values()))
    if args.format == "json":
        return network
    # YAML has the names of Juju 2.3 besides.
    addresses = [each | {"address": each["value"]} for each in device["addresses"]]
    old = {"macaddress": device["mac-address"], "interfacename": device["interface-name"]}
    return network | {"bind-addresses": [device | {"addresses": addresses} | old]}


@tool("unit-get", arg("setting", nargs="?"))
def unit_get(context: HookContext, args: argparse.Namespace, stdin: str) -> str:
    if args.setting not in ("private-address", "public-address"):
        unknown = f'unknown setting "{args.setting}"' if args.setting else "no setting specified"
        raise UsageError(unknown)
    return context.model.addresses_of(context.machine.number)[0]


def _port(words: list[str]) -> str:
    text = words[0].lower()
    if text == "icmp":
        return text
    span, _, protocol = text.partition("/")
    low, _, high = span.partition("-")
    ends = [low, high or low]
    for end in ends:
        if not is_number(end):
            raise UsageError(
                f'invalid port "{end}": strconv.Atoi: parsing "{end}": invalid syntax'
            )
    if not all(0 < int(end) <= 65535 for end in ends):
        raise UsageError(f"port range bounds must be between 0 and 65535, got {ends[0]}-{ends[1]}")
    if int(ends[0]) > int(ends[1]):
        raise UsageError(f"invalid port range {ends[0]}-{ends[1]}")
    if protocol not in ("", "tcp", "udp"):
        raise UsageError(f'invalid protocol "{protocol}", expected "tcp", "udp", or "icmp"')
    return f"{span}/{protocol or 'tcp'}"


@tool("open-port", arg("--endpoints"), arg("port", nargs=1))
def open_port(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.open_port(_port(args.port))


@tool("close-port", arg("--endpoints"), arg("port", nargs=1))
def close_port(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.close_port(_port(args.port))


@tool("opened-ports", arg("--endpoints", action="store_true"))
def opened_ports(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    # Every port is open for all endpoints: there is one network only.
    return [f"{port} (*)" for port in context.ports] if args.endpoints else context.ports
