"""Machines on this host: root file system, network, systemd-nspawn. Knows nothing of models."""
