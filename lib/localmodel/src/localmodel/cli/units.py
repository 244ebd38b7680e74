"""Units: added, removed, resolved and shown."""

from __future__ import annotations

import argparse

from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, split_values
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, reading
from localmodel.cli.terminal import confirm, print_document
from localmodel.documents import make_unit_document
from localmodel.errors import LocalModelError
from localmodel.operations import applications


@juju.command(
    "add-unit",
    MODEL,
    arg("application"),
    arg("-n", "--num-units", type=int, default=1, help="how many"),
    arg("--to", action="append", help="machines to place them on"),
    ignored("--attach-storage", value=True),
)
def add_unit(args: argparse.Namespace) -> None:
    """Add units to an application."""
    with changing(args.model) as agent:
        app = agent.model.app(args.application)
        applications.add_units(
            agent.store, agent.model, app, args.num_units, split_values(args.to)
        )


@juju.command(
    "remove-unit",
    MODEL,
    arg("names", nargs="+", metavar="UNIT|APP"),
    arg("--num-units", type=int, help="with an application: how many units to remove"),
    flag("--no-prompt", help="do not ask"),
    flag("--force", help="do not run the charms' last hooks"),
    ignored("--destroy-storage"),
    ignored("--no-wait"),
)
def remove_unit(args: argparse.Namespace) -> None:
    """Remove units."""
    confirm(f"This removes {', '.join(args.names)}.", asked=not args.no_prompt)
    with changing(args.model) as agent:
        names = args.names
        if args.num_units is not None:
            if len(names) != 1:
                raise LocalModelError("--num-units goes with one application")
            app = agent.model.app(names[0])
            names = applications.choose_units(agent.model, app, args.num_units)
        applications.remove_units(agent.store, agent.model, names, force=args.force)


@juju.command(
    "resolved",
    MODEL,
    arg("units", nargs="+"),
    flag("--no-retry", help="mark the failed hook as done"),
    aliases=("resolve",),
)
def resolved(args: argparse.Namespace) -> None:
    """Resolve a failed hook: run it again at once."""
    with changing(args.model) as agent:
        for unit in args.units:
            applications.resolve(agent.store, agent.model, unit, retry=not args.no_retry)


@juju.command("show-unit", MODEL, arg("unit"), form("yaml", "json"))
def show_unit(args: argparse.Namespace) -> None:
    """Show a unit with its relations and what they hold."""
    with reading(args.model) as (_, model):
        print_document(make_unit_document(model, model.unit(args.unit)), args.format)
