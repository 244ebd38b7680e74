"""Secrets of a model, whoever makes them: what they are called, their revisions, their rotation.

Who may do what with one is the caller's to check: a charm's right is not an operator's.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from localmodel.state import Revision, Secret

# The owner of a user secret, which is the operator's and no application's.
USER = "model"

# Seconds between rotations, by Juju's names for them.
ROTATIONS = {
    "hourly": 3600,
    "daily": 86400,
    "weekly": 7 * 86400,
    "monthly": 30 * 86400,
    "quarterly": 90 * 86400,
    "yearly": 365 * 86400,
}

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"
_LENGTH = 20


def make_uri() -> str:
    """Return a fresh secret's URI: as Juju's, 20 characters after `secret:`."""
    return "secret:" + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def normalize_uri(reference: str) -> str:
    """Return a URI without the model's UUID, which may stand in it: `secret://UUID/ID`."""
    return "secret:" + reference.removeprefix("secret:").rpartition("/")[2]


def is_uri(reference: str) -> bool:
    """Return whether this is a secret's URI, with a model's UUID or without."""
    identifier = normalize_uri(reference).removeprefix("secret:")
    return len(identifier) == _LENGTH and set(identifier) <= set(_ALPHABET)


def add_revision(
    secret: Secret, content: Mapping[str, str], *, expires: float | None = None
) -> None:
    """Give a secret a new revision.

    Args:
        expires: when it does, in seconds since the epoch.
    """
    secret.latest += 1
    secret.updated = time.time()
    secret.revisions[secret.latest] = Revision(dict(content), secret.updated, expires)


def schedule_rotation(secret: Secret, now: float) -> None:
    """Set when a secret's next rotation is due; never for one without a period."""
    period = ROTATIONS.get(secret.rotate)
    secret.rotates_at = now + period if period else None
