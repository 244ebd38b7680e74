"""The two command lines that verbs are registered in."""

from __future__ import annotations

from localmodel.cli.commands import Registry

juju = Registry(
    "juju",
    "A stand-in for Juju that runs packed charms for real on this one machine. It has no clouds,\n"
    "users, spaces, storage or cross-model relations; production is Juju itself.",
)

localmodel = Registry(
    "localmodel",
    "Looks after the machines and the network that the local model's juju command works with.",
)
