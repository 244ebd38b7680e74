"""Runs packed Juju charms for real on one machine, behind the ``juju`` command line.

A stand-in for a controller, not a replacement: machines are systemd-nspawn containers with a
systemd and a Docker Engine of their own, and units are dispatched as Juju's machine agent
dispatches them.

From the bottom up: `host` makes machines and their network; `state` and `store` hold a model;
`resolver` says which hook a unit wants next; `context` and `tools` answer the charm's hook tools;
`dispatch` runs one hook; `agent` runs the model until it is idle; `operations` are the verbs of
the command line; `cli` spells them as ``juju`` does.
"""
