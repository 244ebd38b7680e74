"""What others wrote, and what failed, made fit to be shown."""

from __future__ import annotations


def make_printable(text: str, limit: int) -> str:
    """Return a text in one line that a terminal shows and does not act on.

    White space becomes one space each. Control characters (C0, C1, ESC), those that change the
    direction of what follows, lone surrogates, and what Unicode assigns no character to, become
    U+FFFD. The work is bounded: of a longer text only the first `4 * limit` characters are read.

    Args:
        text: of any length and content.
        limit: characters, at most; a text that was cut ends with `…`.
    """
    words = " ".join(text[: 4 * limit].split())
    if len(words) > limit or len(text) > 4 * limit:
        words = f"{words[: limit - 1]}…"
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in words)


def explain(error: Exception) -> str:
    """Return why something failed: of the system's errors the file and the reason alone."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
