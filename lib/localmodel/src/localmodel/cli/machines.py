"""Machines: made, removed and listed."""

from __future__ import annotations

import argparse

from localmodel.cli.arguments import MODEL, arg, flag, form, ignored
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, reading
from localmodel.cli.terminal import print_document, print_note
from localmodel.errors import LocalModelError
from localmodel.operations import machines
from localmodel.status import list_machine_statuses
from localmodel.tables import make_machine_table


@juju.command(
    "add-machine",
    MODEL,
    arg("target", nargs="?", help=argparse.SUPPRESS),
    arg("-n", dest="count", type=int, default=1, help="how many"),
    ignored("--base", value=True),
    ignored("--constraints", value=True),
    ignored("--disks", value=True),
    ignored("--private-key", value=True),
    ignored("--public-key", value=True),
)
def add_machine(args: argparse.Namespace) -> None:
    """Make machines without units on them."""
    if args.target:
        raise LocalModelError(
            f'placement "{args.target}": the local model makes plain machines only; leave it out'
        )
    if args.count < 1:
        raise LocalModelError(f"-n {args.count}: give 1 or more")
    with changing(args.model) as agent:
        for _ in range(args.count):
            print_note(f"created machine {machines.add_machine(agent.store, agent.model).number}")


@juju.command(
    "remove-machine",
    MODEL,
    arg("machines", nargs="+"),
    flag("--force", help="also remove the units on it, without their last hooks"),
    ignored("--no-prompt"),
    ignored("--keep-instance"),
    ignored("--no-wait"),
)
def remove_machine(args: argparse.Namespace) -> None:
    """Remove machines."""
    with changing(args.model) as agent:
        for number in args.machines:
            machines.remove_machine(agent.model, number, force=args.force)
            print_note(f"removing machine {number}")


@juju.command("machines", MODEL, form("tabular", "json", "yaml"), aliases=("list-machines",))
def list_machines(args: argparse.Namespace) -> None:
    """List machines."""
    _show_machines(args, [])


@juju.command("show-machine", MODEL, arg("machines", nargs="*"), form("yaml", "json", "tabular"))
def show_machine(args: argparse.Namespace) -> None:
    """Show machines."""
    _show_machines(args, args.machines)


def _show_machines(args: argparse.Namespace, numbers: list[str]) -> None:
    with reading(args.model) as (store, model):
        chosen = [model.machine(number) for number in numbers or model.machines]
        shown = list_machine_statuses(store, model, chosen)
    if args.format == "tabular":
        print(make_machine_table(shown))
    else:
        print_document({"model": model.name, "machines": shown}, args.format)
