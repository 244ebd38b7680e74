"""What is only the local model's: its machines and network as a whole."""

from __future__ import annotations

import argparse

from localmodel.agent import Agent
from localmodel.cli.arguments import MODEL, arg, flag
from localmodel.cli.registry import localmodel
from localmodel.cli.session import changing, open_store
from localmodel.cli.terminal import Progress, print_note
from localmodel.errors import LocalModelError
from localmodel.machines import cgroups, template, underlay
from localmodel.machines.instance import Instance, list_instances
from localmodel.machines.trees import remove_tree
from localmodel.resolver import read_update_interval
from localmodel.store import Store, hold_lock


@localmodel.command(
    "up", arg("--underlay", help=f"the machines' network, {underlay.DEFAULT} by default")
)
def up(args: argparse.Namespace) -> None:
    """Make the root file system and the network, and boot all machines."""
    store = open_store()
    with hold_lock(store.paths), Progress() as progress:
        if args.underlay:
            _choose_underlay(store, args.underlay)
        network = underlay.parse_underlay(store.setting("underlay"))
        template.ensure_template(
            store.paths, lambda what, share: progress.report("host", what, share)
        )
        underlay.ensure_underlay(network)
        store.set("down", "")
        for model in store.models():
            agent = Agent(store, model, progress.report)
            agent.observe_machines()
            agent.run_until_idle()
    print_note(f"The local model is up on {network}.")


def _choose_underlay(store: Store, text: str) -> None:
    network = str(underlay.parse_underlay(text))
    if network == store.setting("underlay"):
        return
    if any(m.machines for m in store.models()):
        raise LocalModelError(
            f"the underlay is {store.setting('underlay')} and machines have addresses in it:"
            " destroy the models first"
        )
    underlay.remove_underlay()
    store.set("underlay", network)


@localmodel.command(
    "down", flag("--purge", help="and remove all models, machines, files and settings")
)
def down(args: argparse.Namespace) -> None:
    """Shut down all machines and remove the network; models stay."""
    store = open_store()
    paths = store.paths
    with hold_lock(paths):
        store.set("down", "yes")
        for name in list_instances(paths):
            instance = Instance(paths, name, "")
            if args.purge:
                instance.destroy()
                print_note(f"removed machine {name}")
            elif instance.supervisor():
                instance.stop()
                print_note(f"stopped machine {name}")
        if underlay.NETNS.exists():
            underlay.remove_underlay()
            print_note(f"removed network namespace {underlay.NAMESPACE}")
        cgroups.remove_groups()
        if not args.purge:
            return
        store.close()
        for folder in (paths.home, paths.run):
            remove_tree(folder)
            print_note(f"removed {folder}")


@localmodel.command("reboot", MODEL, arg("machine"))
def reboot(args: argparse.Namespace) -> None:
    """Reboot a machine."""
    with changing(args.model) as agent:
        agent.reboot(agent.model.machine(args.machine))


@localmodel.command("tick", MODEL)
def tick(args: argparse.Namespace) -> None:
    """Run update-status on every unit now."""
    with changing(args.model) as agent:
        _fire_update_status(agent)


def _fire_update_status(agent: Agent) -> None:
    """Make update-status due for every started unit."""
    for unit in agent.model.units.values():
        if unit.local.started:
            unit.local.updated -= read_update_interval(agent.model)
