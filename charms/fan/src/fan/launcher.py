"""`fanctl` on this machine's PATH: the program that comes with the charm.

The launcher runs it from whichever unit's folder is there, so it works until the last of several
units is gone. It is never in the way of a `fanctl` that was installed.
"""

from __future__ import annotations

from pathlib import Path

from hostkit import files

LAUNCHER = Path("/usr/local/sbin/fanctl")
# Where packages have theirs, which the launcher would hide: /usr/local comes first on the PATH.
PACKAGED = Path("/usr/sbin/fanctl")

_HEADER = "#!/bin/sh\n# Made by the fan charm."
# -I: nothing in the user's folder or environment is taken for a module of the program.
_TEXT = f"""{_HEADER} A change made here is undone.
if [ -x {{packaged}} ]; then
    exec {{packaged}} "$@"
fi
for claim in {{claims}}; do
    python=${{{{claim%/*}}}}/charm/venv/bin/python
    if [ -x "$python" ]; then
        exec "$python" -I -m fannet "$@"
    fi
done
echo 'fanctl: no unit of the fan charm is left on this machine; remove {{launcher}}' >&2
exit 1
"""


def ensure(claims: Path) -> None:
    """Put `fanctl` on the PATH, unless something else is called so.

    Args:
        claims: a pattern of the shell's for the units' claims, each in its unit's own folder.

    Raises:
        OSError: it can't be read, written or removed.
    """
    if PACKAGED.exists():
        remove()
        return
    text = _TEXT.format(packaged=PACKAGED, claims=claims, launcher=LAUNCHER)
    there = _read()
    if there is None:
        LAUNCHER.parent.mkdir(parents=True, exist_ok=True)
    elif there == text or not there.startswith(_HEADER):
        return
    files.write(LAUNCHER, text, mode=0o755)


def remove() -> None:
    """Take `fanctl` off the PATH, if it is the charm's.

    Raises:
        OSError: it can't be read or removed.
    """
    if (_read() or "").startswith(_HEADER):
        LAUNCHER.unlink()


def _read() -> str | None:
    """Return what the file says; None if there is none, empty if it can't be the charm's."""
    if LAUNCHER.is_symlink() or LAUNCHER.is_dir():
        return ""
    try:
        return LAUNCHER.read_text(errors="replace")
    except FileNotFoundError:
        return None
