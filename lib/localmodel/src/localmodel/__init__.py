"""Runs packed Juju charms for real on one machine, behind the `juju` command line.

A stand-in for a controller, not a replacement: machines are systemd-nspawn containers with a
systemd and a Docker Engine of their own, and units are dispatched as Juju's machine agent
dispatches them.

From the bottom up: `machines` makes machines and their network; `state` and `store` hold a model,
`secrets` what goes for every secret in it; `resolver` says which hook a unit wants next, and
`lifecycle` what changes between hooks; `context` and `hooktools` answer the charm's hook tools;
`dispatch` runs one hook; `agent` runs the model until it is idle; `operations` are the verbs of
the command line; `status` and `documents` are what it shows, `tables` that for people; `cli`
spells it all as `juju` does.

A machine here is one of a model; the host is the computer that all of them run on.
"""
