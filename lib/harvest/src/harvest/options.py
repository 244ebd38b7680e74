"""The options that all such charms have, checked and typed; a charm adds its own to `Options`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

# To look for plugins it would read what each installed package says of itself.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# isort: split
import pydantic

import dockerhost
from harvest.limits import parse_cpuset, parse_size
from harvest.policy import Policy
from hostkit.sources import PackageSource, parse_sources
from hostkit.text import make_printable

_PORTS = (1024, 65535)  # those that are not reserved
# By pydantic's name for a text that is not: what it should be. Juju checks these kinds itself.
_KINDS = {
    "bool_parsing": "true or false",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
}
_SHOWN = 40  # characters of what was given
_NETWORK = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63})?")


class OptionsError(Exception):
    """Options are wrong; the text names each, in one line."""


@dataclass(frozen=True)
class Credentials:
    """Who we are to a registry."""

    username: str
    password: pydantic.SecretStr


class Options(pydantic.BaseModel):
    """The options that all such charms have. Those that are secrets hold their contents.

    One that a charm's charmcraft.yaml leaves out keeps its default. Only the port has none, as no
    two charms of a machine can share it.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    image: str = ""
    registry_ca: str = ""
    registry_credentials: Credentials | None = None
    require_digest: bool = False
    cpu_policy: Policy = Policy.IDLE
    cpus: float = 0
    memory_limit: int = 0
    cpuset: frozenset[int] = frozenset()
    metrics_port: int
    remove_work: bool = False
    network: str = ""
    # As Juju has them: an address may hold a password.
    install_sources: str = pydantic.Field(default="", repr=False)
    install_keys: str = ""

    @property
    def sources(self) -> tuple[PackageSource, ...]:
        """Where packages come from besides the system's own sources."""
        return parse_sources(self.install_sources, self.install_keys)

    @pydantic.field_validator("image")
    @classmethod
    def _check_image(cls, value: str) -> str:
        return str(dockerhost.parse_reference(value)) if value else ""

    @pydantic.field_validator("registry_ca")
    @classmethod
    def _check_registry_ca(cls, value: str) -> str:
        return dockerhost.check_certificate(value) if value.strip() else ""

    @pydantic.field_validator("registry_credentials", mode="before")
    @classmethod
    def _check_registry_credentials(cls, value: Mapping[str, str]) -> Credentials:
        username, password = _take(value, "username", "password")
        return Credentials(username, pydantic.SecretStr(password))

    @pydantic.field_validator("cpu_policy", mode="before")
    @classmethod
    def _check_cpu_policy(cls, value: str) -> str:
        policies = [policy.value for policy in Policy]
        if value not in policies:
            raise ValueError(f"{value!r} is not one of: {', '.join(policies)}")
        return value

    @pydantic.field_validator("cpus")
    @classmethod
    def _check_cpus(cls, value: float) -> float:
        # The kernel counts no finer. What is too much, or no number, is not less than infinity.
        if not (value == 0 or 0.01 <= value < float("inf")):
            raise ValueError(f"{value:g} is out of range; give 0 for all cores, or 0.01 or more")
        return value

    @pydantic.field_validator("memory_limit", mode="before")
    @classmethod
    def _check_memory_limit(cls, value: str) -> int:
        return parse_size(value) if value.strip() else 0

    @pydantic.field_validator("cpuset", mode="before")
    @classmethod
    def _check_cpuset(cls, value: str) -> frozenset[int]:
        return parse_cpuset(value)

    @pydantic.field_validator("metrics_port")
    @classmethod
    def _check_metrics_port(cls, value: int) -> int:
        first, last = _PORTS
        if not first <= value <= last:
            raise ValueError(f"{value} is out of range; give {first} to {last}")
        return value

    @pydantic.field_validator("network")
    @classmethod
    def _check_network(cls, value: str) -> str:
        # The machine's own network is none for a container that is not trusted.
        if value in ("host", "default") or not _NETWORK.fullmatch(value):
            raise ValueError(
                f"{value!r} is not the name of a Docker network of its own; give one such as fan, "
                "or leave it empty"
            )
        return value

    @pydantic.model_validator(mode="after")
    def _check_sources(self) -> Options:
        parse_sources(self.install_sources, self.install_keys)
        return self


C = TypeVar("C", bound=Options)


def parse_options(model: type[C], options: Mapping[str, Any]) -> C:
    """Return the options, checked.

    Args:
        model: how they are typed.
        options: by name as Juju has them; contents in place of a secret's identifier.

    Raises:
        OptionsError: some are wrong.
    """
    names = {_attribute(name): name for name in options}
    try:
        return model.model_validate({_attribute(name): v for name, v in options.items()})
    except pydantic.ValidationError as error:
        faults: list[str] = []
        for fault in error.errors(include_url=False):
            text = _explain(fault)
            attribute = str(fault["loc"][0]) if fault["loc"] else ""  # else the text names it
            option = names.get(attribute, attribute.replace("_", "-"))
            faults.append(f"option {option}: {text}" if option else text)
        raise OptionsError("; ".join(faults)) from None


def _explain(fault: Mapping[str, object]) -> str:
    """Return what is wrong. What was given is shown where that can be no secret."""
    if kind := _KINDS.get(str(fault["type"])):
        return f"{make_printable(str(fault['input']), _SHOWN)!r} is not {kind}"
    return str(fault["msg"]).removeprefix("Value error, ")


def split_command(text: str) -> tuple[str, ...]:
    """Return words as a POSIX shell splits them; nothing is expanded. Raises ValueError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(
            f"{make_printable(text, _SHOWN)!r} can't be split into words: {str(error).lower()}; "
            "close each quote, or put a backslash before it"
        ) from error


def _attribute(option: str) -> str:
    return option.replace("-", "_")


def _take(secret: Mapping[str, str], *keys: str) -> list[str]:
    """Return the values of a secret that has just these keys, none of them empty."""
    if set(secret) != set(keys):
        raise ValueError(
            f"the secret holds {', '.join(sorted(secret)) or 'nothing'}; "
            f"give it just: {', '.join(keys)}"
        )
    if empty := [key for key in keys if not secret[key].strip()]:
        raise ValueError(f"the secret's {' and '.join(empty)} is empty")
    return [secret[key] for key in keys]
