"""The options `install_sources` and `install_keys`: where packages come from besides the system's.

Charms that use charmhelpers' `configure_sources` have them by these names: a YAML list of sources,
and one of the keys that they are signed by. See the README for what is different.
"""

from __future__ import annotations

import base64
import binascii
import platform
import re
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import yaml

from hostkit.text import make_printable

_SHOWN = 60  # characters of what was given
# Patterns are compiled where they are used: a hook whose options are empty has no need of them.
_SOURCE = (
    r"(?:deb +(?:\[([^][]*)\] *)?)?"  # options
    r"([a-z][a-z0-9+.-]*:/[^ ]+) +"  # URI
    r"([^ ]+/|[^ ]+(?: +[^ ]+)+)"  # the path of a flat repository, or suite and components
)
_OPTION = r"[A-Za-z-]+[+-]?=\S+"
_PPA = r"ppa:([a-z0-9][a-z0-9.+-]*)/([a-z0-9][a-z0-9.+-]*)"
_FORMS = "'deb URI SUITE COMPONENT', 'https://… SUITE COMPONENT', ppa:OWNER/NAME or distro"
_NULL = ("", "null", "~")
_BEGIN, _END = (f"-----{word} PGP PUBLIC KEY BLOCK-----" for word in ("BEGIN", "END"))
_PUBLIC_KEY = 6  # what OpenPGP calls such a packet (RFC 9580, section 5)


@dataclass(frozen=True)
class PackageSource:
    """A repository of packages.

    Attributes:
        options: as sources.list(5) has them in brackets, such as arch=amd64.
        uri: where it is, without a login.
        parts: its suite and components, with a space between each.
        key: the public key that it is signed by, in ASCII armor; empty: one that apt trusts
            already.
        login: whom it lets in, as apt_auth.conf(5) has it; empty: anybody.
    """

    options: tuple[str, ...]
    uri: str
    parts: str
    key: str = ""
    login: str = field(default="", repr=False)


def parse_sources(install_sources: str, install_keys: str) -> tuple[PackageSource, ...]:
    """Return the sources that the two options name.

    Args:
        install_sources: a YAML list, or one source.
        install_keys: a YAML list with a key or null for each source, or one key; empty: none.

    Raises:
        ValueError: they are wrong; the text names the option, and no login.
    """
    named = _read_list("install_sources", install_sources)
    keys = _read_list("install_keys", install_keys)
    if keys and len(keys) != len(named):
        raise ValueError(
            f"option install_keys: it has {len(keys)} items, and install_sources has "
            f"{len(named)}; give a key, or null, for each source"
        )
    found = (_parse_source(*pair) for pair in zip(named, keys or [""] * len(named), strict=True))
    return tuple(source for source in found if source)


def _read_list(option: str, text: str) -> list[str]:
    """Return the items of a YAML list; empty for null."""
    if text.strip() in _NULL:
        return []
    if text.strip().startswith(_BEGIN):
        return [text]  # in YAML, its lines would become one
    try:
        # Makes nothing but texts, lists and mappings.
        found: Any = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"option {option}: it is not YAML{where}; give a list") from None
    items = cast("list[Any]", found if isinstance(found, list) else [found] if found else [])
    if not all(isinstance(item, str) for item in items):
        raise ValueError(f"option {option}: it has more than texts in it; give a list of texts")
    return ["" if item in _NULL else item.strip() for item in items]


def _parse_source(text: str, armor: str) -> PackageSource | None:
    """Return a source; None for the distribution's own, which is there anyway."""
    key = _parse_key(armor) if armor else ""
    if text == "distro":
        return None
    series = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    line = text.replace("{series}", series)
    if ppa := re.fullmatch(_PPA, text):
        if not key:
            raise _refuse(
                text, "needs the PPA's key in install_keys; Launchpad's page of it links it"
            )
        line = f"https://ppa.launchpadcontent.net/{ppa[1]}/{ppa[2]}/ubuntu {series} main"
    match = re.fullmatch(_SOURCE, line)
    if not match or not line.isprintable():
        raise _refuse(text, f"is not a source that is understood; give {_FORMS}")
    options = tuple((match[1] or "").split())
    if not all(re.fullmatch(_OPTION, each) for each in options):
        raise _refuse(text, "has an option in brackets that is not NAME=VALUE")
    if key and any(each.startswith("signed-by") for each in options):
        raise _refuse(text, "names a key by signed-by, and install_keys has one; give one of them")
    uri, login = _split_login(text, match[2])
    return PackageSource(options, uri, " ".join(match[3].split()), key, login)


def _split_login(text: str, uri: str) -> tuple[str, str]:
    """Return the URI of a source without its login, and that as apt_auth.conf(5) has it."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _refuse(text, "has no proper address") from None
    login, at, host = parts.netloc.rpartition("@")
    if "@" in text.replace(f"{login}{at}", "", 1):
        # Of a login with a space or a slash in it, for one, which would not be seen as such.
        raise _refuse(text, "has an @ that ends no login; give %40 for it, and %2F for a /")
    if not at:
        return uri, ""
    user, _, password = (unquote(word) for word in login.partition(":"))
    if not (
        f"{user}{password}".isprintable() and re.fullmatch(r"[^ #]+ [^ #]+", f"{user} {password}")
    ):
        raise _refuse(text, "needs a user and a password in its login, both without spaces and #")
    place = f"{parts.scheme}://{host}{parts.path}"
    return uri.replace(f"{login}@", "", 1), f"machine {place} login {user} password {password}"


def _parse_key(text: str) -> str:
    """Return a public key in ASCII armor, without comments (RFC 9580, section 6.2)."""
    lines = [line.strip() for line in text.split("\n")]
    try:
        body = lines[lines.index(_BEGIN) + 1 : lines.index(_END)]
        data = [line for line in body if line and ": " not in line and not line.startswith("=")]
        first = base64.b64decode("".join(data), validate=True)[0]
    except (ValueError, IndexError, binascii.Error):
        raise _refuse_key(text) from None
    # The packet's type, in either of the formats that its header may have.
    if first & 0x80 == 0 or (first & 0x3F if first & 0x40 else first >> 2 & 0x0F) != _PUBLIC_KEY:
        raise _refuse_key(text)
    return "\n".join((_BEGIN, "", *data, _END, ""))


def _refuse(text: str, why: str) -> ValueError:
    # What stands before an @ may be a password, wherever it is.
    shown = make_printable(re.sub(r":.*@", ":…@", text, flags=re.DOTALL), _SHOWN)
    return ValueError(f"option install_sources: '{shown}' {why}")


def _refuse_key(text: str) -> ValueError:
    shown = make_printable(text.partition("\n")[0], _SHOWN)
    return ValueError(
        f"option install_keys: '{shown}' is not a public key; give the key itself, from BEGIN to "
        "END, as gpg --armor --export ID prints it"
    )
