"""User secrets: what an operator keeps in the model and grants to applications."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from localmodel.errors import LocalModelError
from localmodel.secrets import USER, add_revision, make_uri, normalize_uri
from localmodel.state import Grant, Model, Secret


def find_secret(model: Model, reference: str) -> Secret:
    """Return a secret by its URI, or a user secret by its name. Raises: LocalModelError."""
    uri = normalize_uri(reference)
    for secret in model.secrets.values():
        if secret.uri == uri or (secret.owner == USER and secret.name == reference):
            return secret
    raise LocalModelError(f'secret "{reference}" not found')


def read_content(pairs: Sequence[str], file: str | None) -> dict[str, str]:
    """Return a secret's content from `key[#base64|#file]=value` words and a YAML file."""
    content: dict[str, Any] = {}
    if file:
        try:
            content |= yaml.safe_load(Path(file).read_text()) or {}
        except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
            raise LocalModelError(
                f"secret file {file!r} is not a mapping in YAML: {error}"
            ) from error
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise LocalModelError(f'key value "{pair}" not valid: give KEY=VALUE')
        content[key] = value
    if not content:
        raise LocalModelError("missing secret value or filename")
    return {k.partition("#")[0]: _decode(k, str(v)) for k, v in content.items()}


def _decode(key: str, value: str) -> str:
    name, _, kind = key.partition("#")
    if len(name) < 3 or not name[0].isalpha() or not name.replace("-", "").isalnum():
        raise LocalModelError(
            f'key "{name}" not valid: three or more lower-case letters, digits and hyphens'
        )
    try:
        if kind == "base64":
            return base64.b64decode(value, validate=True).decode()
        if kind == "file":
            return Path(value).read_text()
    except (OSError, ValueError) as error:
        raise LocalModelError(f'key "{key}": {error}') from error
    return value


def add_secret(model: Model, name: str, content: Mapping[str, str], info: str) -> Secret:
    """Raises: LocalModelError if the name is taken."""
    if any(s.owner == USER and s.name == name for s in model.secrets.values()):
        raise LocalModelError(f'secret with name "{name}" already exists')
    secret = Secret(uri=make_uri(), owner=USER, name=name, description=info)
    add_revision(secret, content)
    model.secrets[secret.uri] = secret
    return secret


def update_secret(
    model: Model, reference: str, content: Mapping[str, str], *, name: str, info: str
) -> None:
    """Give a user secret a new revision; units that track it are told."""
    secret = _find_user_secret(model, reference)
    secret.name = name or secret.name
    secret.description = info or secret.description
    if content and dict(content) != secret.revisions[secret.newest].content:
        add_revision(secret, content)


def grant_secret(model: Model, reference: str, apps: Sequence[str]) -> None:
    secret = _find_user_secret(model, reference)
    for app in apps:
        model.app(app)
    secret.grants += [Grant(app) for app in apps if Grant(app) not in secret.grants]


def revoke_secret(model: Model, reference: str, apps: Sequence[str]) -> None:
    secret = _find_user_secret(model, reference)
    secret.grants = [g for g in secret.grants if g.target not in apps]


def remove_secret(model: Model, reference: str, revision: int | None) -> None:
    """Remove a user secret, or one revision of it."""
    secret = _find_user_secret(model, reference)
    if revision is None:
        del model.secrets[secret.uri]
        return
    if revision not in secret.revisions:
        raise LocalModelError(f'secret "{reference}" has no revision {revision}')
    del secret.revisions[revision]
    if not secret.revisions:
        del model.secrets[secret.uri]


def _find_user_secret(model: Model, reference: str) -> Secret:
    secret = find_secret(model, reference)
    if secret.owner != USER:
        raise LocalModelError(f'secret "{reference}" belongs to {secret.owner}, not to the user')
    return secret
