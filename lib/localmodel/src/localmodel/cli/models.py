"""Models: made, selected, set, shown and destroyed."""

from __future__ import annotations

import argparse
import platform
import re
import uuid
from typing import Any

from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, parse_settings, split_values
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, choose_model, open_store, reading
from localmodel.cli.terminal import confirm, print_document, print_note
from localmodel.documents import make_model_document
from localmodel.errors import LocalModelError
from localmodel.lifecycle import release_unit
from localmodel.resolver import parse_span
from localmodel.state import JUJU_VERSION, Model
from localmodel.status import CLOUD, CONTROLLER
from localmodel.store import hold_lock
from localmodel.tables import format_columns

# The model settings that mean something here, with their defaults.
MODEL_DEFAULTS: dict[str, Any] = {
    "automatically-retry-hooks": True,
    "ignore-machine-addresses": True,
    "juju-ftp-proxy": "",
    "juju-http-proxy": "",
    "juju-https-proxy": "",
    "juju-no-proxy": "127.0.0.1,localhost,::1",
    "update-status-hook-interval": "5m",
}
# The shortest time between two update-status, in seconds; hooks may take as long.
SHORTEST_INTERVAL = 10.0


CONSTRAINTS = ("arch", "cores", "cpu-power", "mem", "root-disk", "tags", "virt-type", "zones")


@juju.command("version", form("plain", "json", "yaml"), flag("--all"))
def version(args: argparse.Namespace) -> None:
    """Print the version of Juju that the local model behaves like."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    text = f"{JUJU_VERSION}-ubuntu-{machine}"
    if args.format == "plain":
        print(text)
    else:
        print_document(
            {"version": text, "git-commit": "", "git-tree-state": ""} if args.all else text,
            args.format,
        )


@juju.command(
    "add-model",
    arg("name"),
    arg("cloud", nargs="?", help=argparse.SUPPRESS),
    arg("--config", action="append", default=[], metavar="KEY=VALUE"),
    flag("--no-switch", help="do not switch to the new model"),
    ignored("-c", "--controller", value=True),
    ignored("--credential", value=True),
)
def add_model(args: argparse.Namespace) -> None:
    """Make a model and select it."""
    if not re.match(r"^[a-z0-9][a-z0-9-]*$", args.name):
        raise LocalModelError(
            f'"{args.name}" is not a valid name: model names may only contain lowercase letters,'
            " digits and hyphens"
        )
    store = open_store()
    with hold_lock(store.paths):
        if any(m.name == args.name for m in store.models()):
            raise LocalModelError(f'model "{args.name}" already exists')
        model = Model(uuid=str(uuid.uuid4()), name=args.name)
        model.config = _read_settings(parse_settings(args.config))
        store.save(model)
        if not args.no_switch:
            store.set("model", args.name)
    print_note(f"Added '{args.name}' model on localhost for user 'admin'")


@juju.command(
    "switch", arg("name", nargs="?", help="a model; without one, print the selected one")
)
def switch(args: argparse.Namespace) -> None:
    """Select the model that commands work on, or print it."""
    store = open_store()
    name = choose_model(store, args.name)
    if args.name is None:
        print(f"{CONTROLLER}:admin/{name}")
        return
    store.load(name)
    before = store.setting("model")
    store.set("model", name)
    kept = f"{CONTROLLER}:admin/{name}"
    print_note(
        f"{kept} (no change)" if before == name else f"{CONTROLLER}:admin/{before} -> {kept}"
    )


@juju.command("controllers", form("tabular", "json", "yaml"), aliases=("list-controllers",))
def controllers(args: argparse.Namespace) -> None:
    """List controllers; there is only this one."""
    store = open_store()
    current = store.setting("model")
    found = store.models()
    if args.format != "tabular":
        body = {
            "current-model": f"admin/{current}" if current else "",
            "user": "admin",
            "cloud": CLOUD,
            "agent-version": JUJU_VERSION,
            "model-count": len(found),
            "machine-count": sum(len(model.machines) for model in found),
        }
        print_document(
            {"controllers": {CONTROLLER: body}, "current-controller": CONTROLLER}, args.format
        )
        return
    titles = ["Controller", "Model", "User", "Access", "Cloud/Region", "Models", "Version"]
    row = [f"{CONTROLLER}*", current or "-", "admin", "superuser", CLOUD, str(len(found))]
    print(format_columns([titles, [*row, JUJU_VERSION]]))


@juju.command("models", form("tabular", "json", "yaml"))
def models(args: argparse.Namespace) -> None:
    """List models."""
    store = open_store()
    current = store.setting("model")
    found = store.models()
    if args.format != "tabular":
        shown = [next(iter(make_model_document(m).values())) for m in found]
        print_document({"models": shown, "current-model": current}, args.format)
        return
    rows = [["Model", "Cloud/Region", "Type", "Status", "Machines", "Units"]]
    for model in found:
        name = f"{model.name}*" if model.name == current else model.name
        state = "available" if model.life == "alive" else "destroying"
        counts = [str(len(model.machines)), str(len(model.units))]
        rows.append([name, "localhost", "localmodel", state, *counts])
    print(
        format_columns(rows)
        if found
        else 'There are no models. Make one with "juju add-model NAME".'
    )


@juju.command(
    "destroy-model",
    arg("name"),
    flag("--no-prompt", "-y", help="do not ask"),
    flag("--force", help="do not run the charms' last hooks"),
    ignored("--destroy-storage"),
    ignored("--release-storage"),
    ignored("--no-wait"),
    ignored("-t", "--timeout", value=True),
)
def destroy_model(args: argparse.Namespace) -> None:
    """Remove a model with all its machines."""
    store = open_store()
    store.load(choose_model(store, args.name))
    confirm(f'This removes model "{args.name}" and its machines.', asked=not args.no_prompt)
    with changing(args.name) as agent:
        model = agent.model
        model.life = "dying"
        for app in model.apps.values():
            app.life = "dying"
        for unit in model.units.values():
            if args.force:
                release_unit(unit)
    left = store.load(model.name)
    if left.machines or left.units:
        stuck = ", ".join(u.name for u in left.units.values() if u.failures) or "its units"
        raise LocalModelError(
            f'model "{model.name}" still exists: a hook of {stuck} failed; repair it and run'
            " juju resolved UNIT, or give --force"
        )
    with hold_lock(store.paths):
        store.delete(left)
        if store.setting("model") == model.name:
            store.set("model", "")
    print_note(f"Model '{model.name}' destroyed")


@juju.command("show-model", arg("name", nargs="?"), form("yaml", "json"))
def show_model(args: argparse.Namespace) -> None:
    """Show a model's details."""
    store = open_store()
    print_document(make_model_document(store.load(choose_model(store, args.name))), args.format)


@juju.command(
    "model-config",
    MODEL,
    form("tabular", "json", "yaml"),
    arg("--reset", action="append"),
    arg("settings", nargs="*", metavar="KEY[=VALUE]"),
)
def model_config(args: argparse.Namespace) -> None:
    """Show or set a model's configuration."""
    reset = split_values(args.reset)
    _check_keys(reset)
    if args.reset or any("=" in s for s in args.settings):
        with changing(args.model) as agent:
            kept = {k: v for k, v in agent.model.config.items() if k not in reset}
            agent.model.config = kept | _read_settings(parse_settings(args.settings))
        return
    with reading(args.model) as (_, model):
        shown = {
            key: {
                "Value": model.config.get(key, default),
                "Source": "model" if key in model.config else "default",
            }
            for key, default in MODEL_DEFAULTS.items()
        }
    if args.settings:
        _check_keys(args.settings)
        print(shown[args.settings[0]]["Value"])
    elif args.format == "tabular":
        rows = [[k, str(v["Source"]), str(v["Value"])] for k, v in shown.items()]
        print(format_columns([["Attribute", "From", "Value"], *rows]))
    else:
        print_document(shown, args.format)


def _check_keys(keys: list[str]) -> None:
    for key in keys:
        if key not in MODEL_DEFAULTS:
            known = ", ".join(MODEL_DEFAULTS)
            raise LocalModelError(f'key "{key}" not found: the local model knows {known}')


def _read_settings(values: dict[str, str]) -> dict[str, Any]:
    _check_keys(list(values))
    for key, value in values.items():
        if isinstance(MODEL_DEFAULTS[key], bool) and value.lower() not in ("true", "false"):
            raise LocalModelError(f'{key} "{value}": give true or false')
    interval = values.get("update-status-hook-interval")
    if interval is not None and not re.match(r"^\d+[smh]$", interval):
        raise LocalModelError(
            f'update-status-hook-interval "{interval}": give a span such as 30s, 5m or 1h'
        )
    if interval is not None and parse_span(interval) < SHORTEST_INTERVAL:
        raise LocalModelError(
            f'update-status-hook-interval "{interval}": give {SHORTEST_INTERVAL:.0f}s or more, or'
            " the model never gets idle"
        )
    return dict(values)


@juju.command("model-constraints", MODEL, form("plain", "json", "yaml"))
def model_constraints(args: argparse.Namespace) -> None:
    """Show a model's constraints; machines here are all alike, so nothing follows from them."""
    with reading(args.model) as (_, model):
        if args.format == "plain":
            print(" ".join(f"{k}={v}" for k, v in model.constraints.items()))
        else:
            print_document(model.constraints, args.format)


@juju.command("set-model-constraints", MODEL, arg("constraints", nargs="+", metavar="KEY=VALUE"))
def set_model_constraints(args: argparse.Namespace) -> None:
    """Set a model's constraints; machines here are all alike, so nothing follows from them."""
    values = parse_settings(args.constraints)
    for key in values:
        if key not in CONSTRAINTS:
            raise LocalModelError(
                f'unknown constraint "{key}": known are {", ".join(CONSTRAINTS)}'
            )
    with changing(args.model) as agent:
        agent.model.constraints |= values
