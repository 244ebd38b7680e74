"""User secrets."""

from __future__ import annotations

import argparse

from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, split_values
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, reading
from localmodel.cli.terminal import print_document
from localmodel.documents import make_secret_document
from localmodel.errors import LocalModelError
from localmodel.operations import secrets
from localmodel.tables import format_columns

SECRET = arg("secret", metavar="NAME|URI")
CONTENT = (
    arg("content", nargs="*", metavar="KEY[#base64|#file]=VALUE"),
    arg("--file", help="a YAML file with the content"),
    arg("--info", default="", help="a description"),
)


@juju.command("add-secret", MODEL, arg("name"), *CONTENT)
def add_secret(args: argparse.Namespace) -> None:
    """Add a secret to the model, and print its URI."""
    content = secrets.read_content(args.content, args.file)
    with changing(args.model) as agent:
        print(secrets.add_secret(agent.model, args.name, content, args.info).uri)


@juju.command(
    "update-secret",
    MODEL,
    SECRET,
    *CONTENT,
    arg("--name", default=""),
    ignored("--auto-prune"),
)
def update_secret(args: argparse.Namespace) -> None:
    """Add a revision to a secret; applications that track it are notified."""
    given = args.content or args.file
    content = secrets.read_content(args.content, args.file) if given else {}
    if not given and not args.name and not args.info:
        raise LocalModelError("nothing to update: give content, --name or --info")
    with changing(args.model) as agent:
        secrets.update_secret(agent.model, args.secret, content, name=args.name, info=args.info)


@juju.command("grant-secret", MODEL, SECRET, arg("applications", metavar="APP[,APP…]"))
def grant_secret(args: argparse.Namespace) -> None:
    """Give applications access to a secret."""
    with changing(args.model) as agent:
        secrets.grant_secret(agent.model, args.secret, split_values([args.applications]))


@juju.command("revoke-secret", MODEL, SECRET, arg("applications", metavar="APP[,APP…]"))
def revoke_secret(args: argparse.Namespace) -> None:
    """Withdraw applications' access to a secret."""
    with changing(args.model) as agent:
        secrets.revoke_secret(agent.model, args.secret, split_values([args.applications]))


@juju.command("remove-secret", MODEL, SECRET, arg("--revision", type=int))
def remove_secret(args: argparse.Namespace) -> None:
    """Remove a secret, or one revision of it."""
    with changing(args.model) as agent:
        secrets.remove_secret(agent.model, args.secret, args.revision)


@juju.command(
    "show-secret",
    MODEL,
    SECRET,
    form("yaml", "json"),
    flag("--reveal", help="with the content"),
    flag("--revisions", help="with all revisions"),
    arg("-r", "--revision", type=int),
)
def show_secret(args: argparse.Namespace) -> None:
    """Show a secret, without its content unless asked for."""
    with reading(args.model) as (_, model):
        secret = secrets.find_secret(model, args.secret)
    revision = args.revision or secret.newest
    if revision not in secret.revisions:
        raise LocalModelError(f'secret "{args.secret}" has no revision {revision}')
    reveal = revision if args.reveal else None
    print_document(
        make_secret_document(secret, reveal=reveal, history=args.revisions), args.format
    )


@juju.command("secrets", MODEL, form("tabular", "json", "yaml"), arg("--owner"))
def list_secrets(args: argparse.Namespace) -> None:
    """List secrets."""
    with reading(args.model) as (_, model):
        found = list(model.secrets.values())
    if args.owner:
        found = [s for s in found if args.owner in (s.owner, s.owner.partition("/")[0])]
    if args.format == "tabular":
        rows = [["ID", "Name", "Owner", "Revision"]]
        for secret in found:
            identifier = secret.uri.removeprefix("secret:")
            name = secret.name or secret.label or "-"
            rows.append([identifier, name, secret.owner, str(secret.newest)])
        print(format_columns(rows))
        return
    documents: dict[str, object] = {}
    for secret in found:
        documents |= make_secret_document(secret)
    print_document(documents, args.format)
