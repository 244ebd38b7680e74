"""Traces of the charm's own work, by ops, for units that are related to somebody who takes them.

Where the package ops-tracing is installed, ops loads it, and writes a trace of every hook to the
disk, whether anybody takes it or not. That would cost each idle hook 0.2 s and a write. So this
module is imported before ops, and keeps the package from it until the endpoint is related.
"""

from __future__ import annotations

import importlib
import sys

_PACKAGE = "ops_tracing"
# To import what is None here fails, and ops does without. What is loaded already stays.
sys.modules.setdefault(_PACKAGE, None)  # pyright: ignore[reportArgumentType]

import ops  # noqa: E402
from ops import hookcmds  # noqa: E402

_ENDPOINT = "charm-tracing"
_AUTHORITY = "receive-ca-cert"


def load_if_related() -> None:
    """Give ops its tracing before it starts, if the unit is related to a tracing backend."""
    try:
        related = hookcmds.relation_ids(_ENDPOINT)
    except hookcmds.Error:
        return  # ops finds out itself what is wrong, and says it
    if related:
        del sys.modules[_PACKAGE]
        ops.tracing = importlib.import_module(_PACKAGE)


def trace(charm: ops.CharmBase) -> ops.Object | None:
    """Send the traces of a charm's hooks over the endpoint `charm-tracing`, if it is related.

    A charm calls this in its `__init__`, and keeps what it returns. Whom to trust, if they are
    taken over TLS, is told over the endpoint `receive-ca-cert`.
    """
    if not ops.tracing:
        return None
    return ops.tracing.Tracing(charm, _ENDPOINT, ca_relation_name=_AUTHORITY)
