"""The errors that a user of the command line meets."""

from __future__ import annotations


class LocalModelError(Exception):
    """Something that the user can fix; its text is one line that says what and how."""
