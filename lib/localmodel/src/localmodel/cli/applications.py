"""Applications: deployed, refreshed, set and shown, with their resources."""

from __future__ import annotations

import argparse
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from localmodel import quirks
from localmodel.charms import Meta, read_packed
from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, parse_settings, split_values
from localmodel.cli.bundles import deploy_bundle
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, find_charm_folder, reading
from localmodel.cli.terminal import confirm, print_document, print_note
from localmodel.documents import list_resources, make_application_document, make_config_document
from localmodel.errors import LocalModelError
from localmodel.operations import applications, bundles
from localmodel.state import Model
from localmodel.store import Store
from localmodel.tables import format_columns
from localmodel.typeguards import is_mapping

CONFIG = arg("--config", action="append", default=[], metavar="KEY=VALUE|FILE")
RESOURCE = arg("--resource", action="append", default=[], metavar="NAME=FILE")


@juju.command(
    "deploy",
    MODEL,
    arg("charm", help="a packed charm's path, a charm's name, or a bundle's path"),
    arg("application", nargs="?", help="another name for the application"),
    arg("-n", "--num-units", type=int, help="how many units"),
    arg("--to", action="append", help="machines to place the units on"),
    arg("--overlay", action="append", default=[], help="an overlay bundle"),
    CONFIG,
    RESOURCE,
    flag("--trust"),
    flag("--dry-run", help="only print what would be done"),
    ignored("--force"),
    ignored("--base", value=True),
    ignored("--bind", value=True),
    ignored("--channel", value=True),
    ignored("--revision", value=True),
    ignored("--constraints", value=True),
    ignored("--storage", value=True),
    ignored("--attach-storage", value=True),
    ignored("--map-machines", value=True),
)
def deploy(args: argparse.Namespace) -> None:
    """Deploy a charm or a bundle, and run its units until they are idle."""
    if bundles.is_bundle(Path(args.charm)):
        deploy_bundle(args)
        return
    if args.overlay:
        raise LocalModelError("--overlay goes with a bundle only")
    path, origin = applications.resolve_charm(args.charm, find_charm_folder(), Path.cwd())
    meta = read_packed(path)
    _refuse_texts(meta, args.config)
    with _perhaps_changing(args) as (store, model):
        app = applications.deploy(
            store,
            model,
            path,
            origin=origin,
            name=args.application,
            units=args.num_units,
            to=split_values(args.to),
            options=_read_config(args.config, args.application or meta.name),
            resources=parse_settings(args.resource),
            trust=args.trust,
        )
        where = "local charm" if origin == "local" else "charm-hub charm"
        what = f'"{app.name}" from {where} "{app.charm_name}", revision {app.revision}'
        print_note(f"{what} would be deployed" if args.dry_run else f"Deploying {what}")


@contextmanager
def _perhaps_changing(args: argparse.Namespace) -> Generator[tuple[Store, Model]]:
    """Change a model, or with --dry-run what is thrown away."""
    if args.dry_run:
        with reading(args.model) as (store, model):
            yield store, model
    else:
        with changing(args.model) as agent:
            yield agent.store, agent.model


def _refuse_texts(meta: Meta, words: list[str]) -> None:
    given = _read_files(parse_settings([word for word in words if "=" in word]))
    for name, value in given.items():
        option = meta.options.get(name)
        if option and quirks.refuses_text(option):
            raise LocalModelError(f'option "{name}" expected {option.type}, got "{value}"')


def _read_config(words: list[str], application: str) -> dict[str, Any]:
    """Read settings from `KEY=VALUE` and `KEY=@FILE` words, and from YAML files."""
    found: dict[str, Any] = {}
    for word in words:
        if "=" in word:
            found |= _read_files(parse_settings([word]))
        else:
            found |= _read_config_file(word, application)
    return found


def _read_config_file(file: str, application: str) -> dict[str, Any]:
    """Read what a file sets for an application: under its name, or as `juju config` prints it.

    Raises: LocalModelError.
    """
    try:
        body = yaml.safe_load(Path(file).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LocalModelError(f"cannot read config {file}: {error}") from error
    if not is_mapping(body):
        raise LocalModelError(f"cannot read config {file}: not a mapping")
    own = body.get(application)
    if is_mapping(own):
        return own
    printed = body.get("settings")
    if body.get("application") == application and is_mapping(printed):
        return {
            key: entry["value"]
            for key, entry in printed.items()
            if is_mapping(entry) and entry.get("source") == "user" and "value" in entry
        }
    raise LocalModelError(
        f'cannot read config {file}: no settings found for "{application}": put them under'
        f' the key "{application}"'
    )


def _read_files(values: dict[str, str]) -> dict[str, str]:
    """Return values, and for those that begin with `@` the content of the file they name."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if value.startswith("@"):
            try:
                value = Path(value[1:]).read_text()
            except OSError as error:
                raise LocalModelError(f'option "{key}": {error}') from error
        found[key] = value
    return found


@juju.command(
    "refresh",
    MODEL,
    arg("application"),
    arg("--path", help="a packed charm"),
    CONFIG,
    RESOURCE,
    flag("--trust"),
    flag("--force-units", help="also upgrade units whose hook has failed"),
    ignored("--force"),
    ignored("--force-base"),
    ignored("--base", value=True),
    ignored("--channel", value=True),
    ignored("--revision", value=True),
    ignored("--storage", value=True),
)
def refresh(args: argparse.Namespace) -> None:
    """Move an application to another build of its charm."""
    with changing(args.model) as agent:
        app = agent.model.app(args.application)
        reference = args.path or app.charm_name
        if args.path is None and app.origin == "local":
            raise LocalModelError(f'"{app.name}" is a local charm: give --path')
        if args.path and not applications.is_path(args.path):
            reference = f"./{args.path}"
        path, _ = applications.resolve_charm(reference, find_charm_folder(), Path.cwd())
        changed = applications.refresh(
            agent.store,
            agent.model,
            args.application,
            path,
            force_units=args.force_units,
            options=_read_config(args.config, args.application),
            resources=parse_settings(args.resource),
            trust=args.trust,
        )
        print_note(
            f'Added charm "{app.charm_name}", revision {app.revision}, to the model'
            if changed
            else f'charm "{app.charm_name}": already running latest revision'
        )


@juju.command(
    "remove-application",
    MODEL,
    arg("applications", nargs="+"),
    flag("--no-prompt", help="do not ask"),
    flag("--force", help="do not run the charms' last hooks"),
    ignored("--destroy-storage"),
    ignored("--no-wait"),
)
def remove_application(args: argparse.Namespace) -> None:
    """Remove applications with their units."""
    names = ", ".join(args.applications)
    confirm(f"This removes {names}, with all data on the machines.", asked=not args.no_prompt)
    with changing(args.model) as agent:
        for name in args.applications:
            applications.remove_application(agent.store, agent.model, name, force=args.force)


@juju.command(
    "config",
    MODEL,
    arg("application"),
    arg("settings", nargs="*", metavar="KEY[=VALUE]"),
    arg("--reset", action="append", help="keys to reset to their default"),
    arg("--file", help="a YAML file with settings"),
    form("yaml", "json"),
)
def config(args: argparse.Namespace) -> None:
    """Show or set an application's configuration."""
    reset = split_values(args.reset)
    writes = [s for s in args.settings if "=" in s]
    if reset or writes or args.file:
        values = _read_files(parse_settings(args.settings))
        if args.file:
            values = _read_config([args.file], args.application) | values
        with changing(args.model) as agent:
            applications.set_options(agent.store, agent.model, args.application, values, reset)
        return
    with reading(args.model) as (store, model):
        shown = make_config_document(store, model, model.app(args.application))
    if not args.settings:
        print_document(shown, args.format)
        return
    (key, *_) = args.settings
    if key not in shown["settings"]:
        known = ", ".join(shown["settings"])
        raise LocalModelError(f'key "{key}" not found in "{args.application}": it has {known}')
    print(shown["settings"][key].get("value", ""))


@juju.command(
    "expose",
    MODEL,
    arg("application"),
    ignored("--endpoints", value=True),
    ignored("--to-spaces", value=True),
    ignored("--to-cidrs", value=True),
)
def expose(args: argparse.Namespace) -> None:
    """Mark an application's ports as open to all; the local model has no firewall."""
    with changing(args.model) as agent:
        agent.model.app(args.application).exposed = True


@juju.command("unexpose", MODEL, arg("application"), ignored("--endpoints", value=True))
def unexpose(args: argparse.Namespace) -> None:
    """Undo expose."""
    with changing(args.model) as agent:
        agent.model.app(args.application).exposed = False


@juju.command("trust", MODEL, arg("application"), flag("--remove"), ignored("--scope", value=True))
def trust(args: argparse.Namespace) -> None:
    """Give an application access to the cloud's credentials, or withdraw it."""
    with changing(args.model) as agent:
        agent.model.app(args.application).trust = not args.remove


@juju.command("show-application", MODEL, arg("application"), form("yaml", "json"))
def show_application(args: argparse.Namespace) -> None:
    """Show an application."""
    with reading(args.model) as (store, model):
        print_document(
            make_application_document(store, model, model.app(args.application)), args.format
        )


@juju.command("attach-resource", MODEL, arg("application"), arg("resource", metavar="NAME=FILE"))
def attach_resource(args: argparse.Namespace) -> None:
    """Give an application a file for one of its charm's resources."""
    with changing(args.model) as agent:
        app = agent.model.app(args.application)
        for name, file in parse_settings([args.resource]).items():
            applications.attach_resource(agent.store, agent.model, app, name, file)


@juju.command("resources", MODEL, arg("application"), form("tabular", "json", "yaml"))
def resources(args: argparse.Namespace) -> None:
    """List an application's resources."""
    with reading(args.model) as (store, model):
        rows = list_resources(store, model.app(args.application))
    if args.format != "tabular":
        print_document({"resources": rows}, args.format)
    elif not rows:
        print("No resources to display.")
    else:
        table = [[r["name"], r["origin"] or "-", str(r["revision"])] for r in rows]
        print(format_columns([["Resource", "Supplied by", "Revision"], *table]))
