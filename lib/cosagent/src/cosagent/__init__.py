"""A charm's metrics, alert rules and dashboards, for a collector on its machine; its traces."""

from __future__ import annotations
