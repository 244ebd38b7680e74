"""Bundles: deployed, exported and compared."""

from __future__ import annotations

import argparse
from pathlib import Path

from localmodel import goyaml
from localmodel.cli.arguments import MODEL, arg, ignored
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, find_charm_folder, reading
from localmodel.cli.terminal import print_note
from localmodel.errors import LocalModelError
from localmodel.operations import bundles, exports
from localmodel.store import write_atomically

OVERLAY = arg("--overlay", action="append", default=[], help="an overlay bundle")


def deploy_bundle(args: argparse.Namespace) -> None:
    """What `juju deploy` does with a bundle."""
    for given, option in (
        (args.application, "an application's name"),
        (args.num_units, "--num-units"),
        (args.to, "--to"),
        (args.config, "--config"),
        (args.resource, "--resource"),
    ):
        if given:
            raise LocalModelError(f"{option} can't be given for a bundle: use an overlay")
    bundle = bundles.read_bundle(Path(args.charm), [Path(o) for o in args.overlay])
    if bundle.name:
        print_note("WARNING a bundle has no field name: it is ignored; remove it")
    if args.dry_run:
        with reading(args.model) as (store, model):
            done = bundles.deploy_bundle(store, model, bundle, find_charm_folder())
        print_note("Changes to deploy bundle:" if done else "No changes to apply.")
        for line in done:
            print(f"- {line}")
        return
    with changing(args.model) as agent:
        for line in bundles.deploy_bundle(agent.store, agent.model, bundle, find_charm_folder()):
            print_note(f"- {line}")
    print_note("Deploy of bundle completed.")


@juju.command(
    "export-bundle",
    MODEL,
    arg("--filename", help="where to write it instead of here"),
    ignored("--include-charm-defaults"),
    ignored("--include-series"),
)
def export_bundle(args: argparse.Namespace) -> None:
    """Show the model as a bundle."""
    with reading(args.model) as (_, model):
        if not model.apps:
            raise LocalModelError("nothing to export as there are no applications")
        text = goyaml.dump(exports.export_bundle(model))
    if not args.filename:
        print(text, end="")
        return
    write_atomically(Path(args.filename), text.encode())
    print(f"Bundle successfully exported to {args.filename}")


@juju.command(
    "diff-bundle",
    MODEL,
    arg("bundle", help="a bundle's file or folder"),
    OVERLAY,
    ignored("--annotations"),
    ignored("--map-machines", value=True),
    ignored("--channel", value=True),
)
def diff_bundle(args: argparse.Namespace) -> None:
    """Show how a model differs from a bundle."""
    bundle = bundles.read_bundle(Path(args.bundle), [Path(o) for o in args.overlay])
    with reading(args.model) as (store, model):
        found = exports.diff_bundle(store, model, bundle)
    print(goyaml.dump(found), end="")
