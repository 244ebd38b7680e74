"""The hook tools that deal with secrets.

Content travels in files, never on a command line: ops writes `key#file=PATH`, and the path is
read from the machine.
"""

from __future__ import annotations

import argparse
import re
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from localmodel.context import HookContext, ToolError, UsageError
from localmodel.hooktools.registry import arg, is_number, read_file, read_pairs, tool
from localmodel.secrets import (
    ROTATIONS,
    add_revision,
    is_uri,
    make_uri,
    normalize_uri,
    schedule_rotation,
)
from localmodel.state import Consumer, Grant, Secret, format_iso

KEY = re.compile(r"[a-z](-?[a-z0-9]){2,}")


def _read_uri(reference: str) -> str:
    """Raises: UsageError if it is none."""
    if not is_uri(reference):
        raise UsageError(f'secret URI "{reference}" not valid')
    return normalize_uri(reference)


CONTENT = (
    arg("--label", default=""),
    arg("--description", default=""),
    arg("--expire", default=""),
    arg("--rotate", default="", choices=("", "never", *ROTATIONS)),
    arg("--owner", default="application", choices=("application", "unit")),
)


@tool("secret-add", *CONTENT, arg("pairs", nargs="+"))
def secret_add(context: HookContext, args: argparse.Namespace, stdin: str) -> str:
    content = _read_content(context, args.pairs)
    owner = context.unit.name
    if args.owner == "application":
        context.require_leader("cannot create a secret of the application")
        owner = context.unit.app
    if args.label:
        _check_label(context, args.label)
    secret = Secret(uri=make_uri(), owner=owner)
    _describe(secret, args)
    add_revision(secret, content, expires=_read_expiry(args))
    context.secrets[secret.uri] = secret
    return secret.uri


@tool("secret-set", *CONTENT, arg("uri"), arg("pairs", nargs="*"))
def secret_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    secret = _owned(context, args.uri)
    _describe(secret, args)
    content = _read_content(context, args.pairs)
    if content and content != secret.revisions[secret.newest].content:
        add_revision(secret, content, expires=_read_expiry(args))


@tool(
    "secret-get",
    arg("uri", nargs="?"),
    arg("key", nargs="?"),
    arg("--label", default=""),
    arg("--refresh", action="store_true"),
    arg("--peek", action="store_true"),
)
def secret_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    secret = _find(context, args.uri, args.label)
    if not _may_read(context, secret):
        raise ToolError(f'permission denied: secret "{secret.uri}" is not granted')
    known = secret.consumers.get(context.unit.name)
    tracked = known.revision if known and known.revision in secret.revisions else secret.newest
    revision = secret.newest if args.refresh or args.peek else tracked
    if not args.peek:
        label = args.label or (known.label if known else "")
        secret.consumers[context.unit.name] = Consumer(revision, label)
    content = secret.revisions[revision].content
    return content if args.key is None else content.get(args.key)


@tool("secret-info-get", arg("uri", nargs="?"), arg("--label", default=""))
def secret_info_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    secret = _find_owned(context, args.uri, args.label)
    body = {
        "revision": secret.newest,
        "label": secret.label,
        "owner": "unit" if "/" in secret.owner else "application",
        "rotation": secret.rotate,
    }
    if secret.description:
        body["description"] = secret.description
    if secret.rotates_at is not None:
        body["rotates"] = format_iso(secret.rotates_at)
    expires = secret.revisions[secret.newest].expires
    if expires is not None:
        body["expiry"] = format_iso(expires)
    return {secret.uri.removeprefix("secret:"): body}


@tool("secret-ids")
def secret_ids(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str] | None:
    secrets = {**context.model.secrets, **context.secrets}
    found = [u.removeprefix("secret:") for u, s in secrets.items() if _is_owner(context, s)]
    return found or None


WHOM = (
    arg("-r", "--relation", default=None),
    arg("--unit", default=""),
    arg("--app", default=""),
    arg("uri"),
)


@tool("secret-grant", *WHOM)
def secret_grant(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    secret = _owned(context, args.uri)
    grant = _grant(context, args)
    if grant not in secret.grants:
        secret.grants.append(grant)


@tool("secret-revoke", *WHOM)
def secret_revoke(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    secret = _owned(context, args.uri)
    if args.relation is not None:
        secret.grants = [g for g in secret.grants if g != _grant(context, args)]
    else:
        whom = args.unit or args.app
        secret.grants = [g for g in secret.grants if g.target != whom]


@tool("secret-remove", arg("uri"), arg("--revision", type=int, default=None))
def secret_remove(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    secret = _owned(context, args.uri)
    if args.revision is None:
        context.removed_secrets.add(secret.uri)
        return
    if args.revision not in secret.revisions:
        raise ToolError(f'secret "{secret.uri}" has no revision {args.revision}')
    del secret.revisions[args.revision]
    if not secret.revisions:
        context.removed_secrets.add(secret.uri)


def _grant(context: HookContext, args: argparse.Namespace) -> Grant:
    number = (args.relation or "").rpartition(":")[2]
    if not is_number(number):
        raise ToolError("no relation id specified")
    relation = context.relation(int(number))
    return Grant(args.unit or relation.other_app(context.unit.app), relation.id)


def _find(context: HookContext, uri: str | None, label: str) -> Secret:
    """Return a secret by its URI, or by the label that its owner or this consumer gave it."""
    if uri:
        return context.secret(_read_uri(uri))
    if not label:
        raise ToolError("require either a secret URI or label")
    for secret in {**context.model.secrets, **context.secrets}.values():
        known = secret.consumers.get(context.unit.name)
        if (_is_owner(context, secret) and secret.label == label) or (
            known and known.label == label
        ):
            return context.secret(secret.uri)
    raise ToolError(f'secret URI for consumer label "{label}" not found')


def _find_owned(context: HookContext, uri: str | None, label: str) -> Secret:
    """Return a secret that this unit owns, by its URI or its label."""
    try:
        secret = _find(context, uri, label)
    except UsageError:
        raise
    except ToolError as error:
        identifier = (uri or label).removeprefix("secret:")
        raise ToolError(f'secret "{identifier}" not found') from error
    _require_owner(context, secret)
    return secret


def _owned(context: HookContext, uri: str) -> Secret:
    secret = context.secret(_read_uri(uri))
    _require_owner(context, secret)
    return secret


def _is_owner(context: HookContext, secret: Secret) -> bool:
    if secret.owner == context.unit.name:
        return True
    return secret.owner == context.unit.app and context.is_leader


def _require_owner(context: HookContext, secret: Secret) -> None:
    if not _is_owner(context, secret):
        raise ToolError(f'permission denied: secret "{secret.uri}" is not owned by this unit')


def _may_read(context: HookContext, secret: Secret) -> bool:
    # Every unit of the application that owns a secret may read it.
    ours = (context.unit.name, context.unit.app)
    return secret.owner in ours or any(g.target in ours for g in secret.grants)


def _check_label(context: HookContext, label: str) -> None:
    for secret in {**context.model.secrets, **context.secrets}.values():
        if secret.label == label and _is_owner(context, secret):
            raise ToolError(f'secret with label "{label}" already exists')


def _read_content(context: HookContext, pairs: list[str]) -> dict[str, str]:
    content: dict[str, str] = {}
    for key, value in read_pairs(pairs).items():
        name, is_file, _ = key.partition("#file")
        if not KEY.fullmatch(name):
            raise UsageError(f'key "{name}" not valid')
        content[name] = read_file(context, value) if is_file else value
    return content


def _describe(secret: Secret, args: argparse.Namespace) -> None:
    secret.label = args.label or secret.label
    secret.description = args.description or secret.description
    if args.rotate:
        secret.rotate = args.rotate
        schedule_rotation(secret, time.time())
    if args.expire and secret.revisions:
        secret.revisions[secret.newest].expires = _parse_moment(args.expire)


def _read_expiry(args: argparse.Namespace) -> float | None:
    return _parse_moment(args.expire) if args.expire else None


def _parse_moment(text: str) -> float:
    """Return a moment (RFC 3339) or a span from now (`1h30m`), in seconds since the epoch."""
    try:
        if text[:1].isdigit() and "T" not in text:
            return (datetime.now(timezone.utc) + _parse_span(text)).timestamp()
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError) as error:
        raise ToolError(
            f'invalid expiry "{text}": give RFC 3339 or a span such as 1h30m'
        ) from error


def _parse_span(text: str) -> timedelta:
    total, digits = timedelta(), ""
    units = {"h": "hours", "m": "minutes", "s": "seconds"}
    for letter in text:
        if letter in units and digits:
            total += timedelta(**{units[letter]: float(digits)})
            digits = ""
        else:
            digits += letter
    if digits:
        raise ValueError(text)
    return total
