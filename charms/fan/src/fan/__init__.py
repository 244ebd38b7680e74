"""What the charm does on its machine; nothing in here knows of Juju's events."""

from __future__ import annotations
