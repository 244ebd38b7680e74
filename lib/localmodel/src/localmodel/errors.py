"""The errors that a user of the command line meets."""

from __future__ import annotations


class LocalModelError(Exception):
    """Something the user can put right; its text is one line that says what and how."""
