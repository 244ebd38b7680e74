"""Relations between applications."""

from __future__ import annotations

import argparse

from localmodel.cli.arguments import MODEL, arg, ignored
from localmodel.cli.registry import juju
from localmodel.cli.session import changing
from localmodel.errors import LocalModelError
from localmodel.operations import relations


@juju.command(
    "integrate",
    MODEL,
    arg("one", metavar="APP[:ENDPOINT]"),
    arg("other", metavar="APP[:ENDPOINT]"),
    arg("--via", action="append", help=argparse.SUPPRESS),
    aliases=("relate", "add-relation"),
)
def integrate(args: argparse.Namespace) -> None:
    """Relate two applications."""
    if args.via:
        raise LocalModelError("--via is for cross-model relations, which the local model has not")
    with changing(args.model) as agent:
        relations.integrate(agent.store, agent.model, args.one, args.other)


@juju.command(
    "remove-relation",
    MODEL,
    arg("one", metavar="APP[:ENDPOINT]"),
    arg("other", metavar="APP[:ENDPOINT]"),
    ignored("--force"),
)
def remove_relation(args: argparse.Namespace) -> None:
    """Remove the relation between two applications."""
    with changing(args.model) as agent:
        relations.remove_relation(agent.model, args.one, args.other)
