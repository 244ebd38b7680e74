"""`fanctl`, the command of the fan."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fannet.errors import FannetError

# Exit codes: all done and well, something failed or is wrong, the command line is wrong, lines of
# /etc/network/fan are wrong and all others are done, so that to try again is of no use.
OK, FAILED, USAGE, WRONG_FILE = 0, 1, 2, 3
_INTERRUPTED = 130  # as shells have it
_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    from fannet.cli.parser import UsageError, parse

    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print_error(error)
        return USAGE
    except FannetError as error:
        print_error(error)
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()  # or Python complains of what it cannot flush
        return _BROKEN_PIPE
    except OSError as error:  # a program that is missing, a file that cannot be written
        print_error(f"{error.filename}: {error.strerror}" if error.filename else error)
        return FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def print_error(text: object) -> None:
    """Print what went wrong, in one line."""
    print(f"fanctl: {text}", file=sys.stderr)
