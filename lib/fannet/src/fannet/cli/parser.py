"""What `fanctl` understands, and how it explains itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from fannet.cli import commands
from fannet.errors import FannetError
from fannet.fanfile import FANFILE, FLAGS, SWITCHES

OVERVIEW = f"""\
The fan gives every container of every host an address that all others reach, by arithmetic:
each host owns the slice of the overlay network that its underlay address computes to.

usage: fanctl COMMAND [ARGUMENT]...

  up      make this machine part of a fan, or repair it
  down    remove a fan from this machine
  show    list the fans of this machine
  check   find out what is wrong, here and on the way to other hosts
  config  list the fans that {FANFILE} asks for
  boot    bring up those fans whenever this machine boots
  help    this text; fanctl COMMAND --help explains each; fanctl --version

Two hosts, 172.30.0.28 and 172.30.0.27, on one fan; the same on both:

  fanctl up 250.0.0.0/8 eth0/16 dhcp
  fanctl show
  fanctl check 172.30.0.27

The first now owns 250.0.28.0/24, and its bridge fan-250 has the address 250.0.28.1. What is
plugged into the bridge reaches the second's 250.0.27.0/24.

Exit codes: 0 success; 1 something failed or is wrong, see standard error; 2 the command line is
wrong and nothing was done; 3 up -a did everything except the lines that are wrong.
"""

UNDERLAYS = """\
OVERLAY is a network that is used for nothing else, such as 250.0.0.0/8.
UNDERLAY is the network that hosts reach each other on, as one of
  DEVICE/PREFIX   eth0/16         the address that the device has
  ADDRESS/PREFIX  172.30.0.28/16  this address
  NETWORK/PREFIX  172.30.0.0/16   the address that this machine has in it
The prefixes are the same on all hosts; the underlay's may be shorter than the device's own."""

UP = f"""\
Make this machine part of a fan, or repair what is not as it should be.

{UNDERLAYS}"""

UP_EXAMPLES = f"""\
examples:
  fanctl up 250.0.0.0/8 eth0/16 dhcp
  fanctl up -u eth0/16 -o 250.0.0.0/8 --dhcp     the same
  fanctl up 250.0.0.0/8 172.30.0.28/16 mtu 1400 no-masquerade
  fanctl up 250.0.0.0/8 eth0/16 into lxdbr0      LXD's own bridge is the fan's
  fanctl up -a                                   all in {FANFILE}

It prints one line for each change, and nothing if everything was as it should be. After a change
of the underlay address it names the devices whose containers must be restarted."""

DOWN = f"""\
Remove what `fanctl up` made. The overlay is enough; an underlay, if given, must be the fan's.

{UNDERLAYS}"""

DOWN_EXAMPLES = f"""\
examples:
  fanctl down 250.0.0.0/8
  fanctl down -u eth0/16 -o 250.0.0.0/8
  fanctl down -a     those in {FANFILE}
  fanctl down -e     every fan of this machine"""

CHECK = """\
Find out what is wrong with the fans of this machine and, for each PEER, with the way to that host,
and say what to do next. A peer is named by its underlay address, an address in its slice, or its
host name; it is pinged through the fan, small and at full size."""

CHECK_EXAMPLES = """\
examples:
  fanctl check
  fanctl check 172.30.0.27
  fanctl check 250.0.27.3 otherhost"""

CONFIG = f"""\
List the fans that {FANFILE} asks for, with the slice that each gives this machine, and
the errors by line. It changes nothing. The file has one fan a line; # starts a comment:

  250.0.0.0/8  eth0/16  dhcp host-reserve 5
  251.0.0.0/8  eth1/16  off

Flags are those of `fanctl up`, and {", ".join(SWITCHES)}.
`fanctl up -a` leaves out what is off. Lines of Ubuntu's later versions are understood, which have
the underlay first, and are off unless they say --enable."""

BOOT = f"""\
Bring up the fans of {FANFILE} whenever this machine boots. `enable` enables a systemd unit,
fanctl.service, which comes before container engines and waits for the underlay's address; it
writes the unit unless a package has installed it. `disable` undoes that; `status` prints whether
it is enabled."""


class UsageError(FannetError):
    """The command line is wrong; nothing was done."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line; `run` of what it returns is the function to call.

    Raises:
        UsageError: it is wrong.
    """
    if not argv:
        raise UsageError("no command was given; see fanctl --help")
    verbs = make_verbs()
    if argv[0] in ("-h", "--help", "help"):
        return argparse.Namespace(run=_print_overview)
    if argv[0] == "--version":
        return argparse.Namespace(run=_print_version)
    if argv[0] == "net":
        # What ubuntu-fan leaves behind for ifupdown calls it at each change of a device, and a
        # failure would be that device's. The unit of systemd does what it is for.
        return argparse.Namespace(run=_do_nothing)
    if argv[0] not in verbs:
        known = ", ".join([*verbs, "help"])
        raise UsageError(f"command {argv[0]!r} is unknown; there are: {known}")
    verb = verbs[argv[0]]
    # Options may stand between the words, as in 2015's `dhcp` beside today's `--dhcp`.
    arguments = verb.parse_intermixed_args(argv[1:])
    try:
        arguments.read(arguments)
    except FannetError as error:
        raise UsageError(f"{error}; see {verb.prog} --help") from None
    return arguments


def _do_nothing(_: argparse.Namespace) -> int:
    return 0


def _print_overview(_: argparse.Namespace) -> int:
    print(OVERVIEW, end="")
    return 0


def _print_version(_: argparse.Namespace) -> int:
    from fannet import __version__

    print(f"fanctl {__version__}")
    return 0


def make_verbs() -> dict[str, Parser]:
    """Return what reads each verb's command line, by the verb's name."""
    verbs: dict[str, Parser] = {}

    def add(
        name: str,
        run: commands.Run,
        text: str,
        epilog: str = "",
        read: Callable[[argparse.Namespace], None] = lambda _: None,
    ) -> Parser:
        verb = verbs[name] = Parser(
            prog=f"fanctl {name}",
            description=text,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verb.set_defaults(run=run, read=read)
        verb.add_argument(
            "--format", choices=("text", "json"), default="text", help="output format (text)"
        )
        return verb

    up = add("up", commands.run_up, UP, UP_EXAMPLES, commands.read_up)
    up.add_argument(
        "words",
        nargs="*",
        metavar="OVERLAY UNDERLAY [FLAG]...",
        help="a flag is an option from --dhcp on without its hyphens: mtu 1400 is --mtu 1400",
    )
    up.add_argument("-a", "--all", action="store_true", help=f"all in {FANFILE}")
    up.add_argument(
        "--wait",
        type=_read_seconds,
        default=0,
        metavar="SECONDS",
        help="how long to wait for an underlay address that is not there yet (0)",
    )
    up.add_argument(
        "--force",
        action="store_true",
        help="change the bridge even if that cuts off what is plugged into the old one",
    )
    _add_words(up, "")

    down = add("down", commands.run_down, DOWN, DOWN_EXAMPLES, commands.read_down)
    down.add_argument("words", nargs="*", metavar="OVERLAY [UNDERLAY]")
    down.add_argument("-a", "--all", action="store_true", help=f"those in {FANFILE}")
    down.add_argument("-e", "--everything", action="store_true", help="every fan of this machine")
    # The original takes the same words here, so that one line serves both; they mean nothing.
    _add_words(down, argparse.SUPPRESS)

    show = add("show", commands.run_show, "List the fans of this machine.")
    show.add_argument(
        "-v", "--verbose", action="store_true", help="with slices, devices, and what was dropped"
    )
    check = add("check", commands.run_check, CHECK, CHECK_EXAMPLES)
    check.add_argument("peers", nargs="*", metavar="PEER")
    add("config", commands.run_config, CONFIG)
    boot = add("boot", commands.run_boot, BOOT)
    verbs_of_boot = ("enable", "disable", "status")
    boot.add_argument("what", choices=verbs_of_boot, metavar="|".join(verbs_of_boot))
    return verbs


def _add_words(verb: argparse.ArgumentParser, help_: str) -> None:
    """Add the later spelling: an option for overlay, underlay and each flag."""
    verb.add_argument("-o", "--overlay", help="instead of the first word")
    verb.add_argument("-u", "--underlay", help="instead of the second word")
    for name, flag in FLAGS.items():
        if flag.value:
            verb.add_argument(f"--{name}", help=help_ or flag.help, metavar=flag.value)
        else:
            verb.add_argument(f"--{name}", help=help_ or flag.help, action="store_true")


def _read_seconds(text: str) -> float:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return float(text)
