"""The charm's options, checked and typed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Network
from typing import Any, get_args

# To look for plugins it would read what each installed package says of itself.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# isort: split
import pydantic

import fannet
from hostkit.sources import PackageSource, parse_sources

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")  # what Docker takes
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,14}")  # what LXD takes, as a bridge's name
# Docker's own networks can't be replaced.
_DOCKERS_OWN = ("bridge", "host", "none", "default")
_MTU = (576, 65535)
# Options of the unit, and not of its fan.
OWN = {"metrics_port", "install_sources", "install_keys"}


class ConfigError(Exception):
    """Options are wrong; the text names each, in one line."""


class Docker(str, Enum):
    """How Docker's containers get onto the fan."""

    NETWORK = "network"
    DEFAULT_BRIDGE = "default-bridge"
    NONE = "none"


class Config(pydantic.BaseModel):
    """The charm's options. The defaults here are charmcraft.yaml's."""

    model_config = pydantic.ConfigDict(frozen=True)

    overlay: IPv4Network = IPv4Network("250.0.0.0/8")
    underlay: IPv4Network | None = None
    encapsulation: fannet.Encapsulation = "vxlan"
    vni: int = 0
    port: int = 8472
    mtu: int = 0
    masquerade: bool = True
    shortcuts: bool = True
    dhcp: bool = False
    docker: Docker = Docker.NETWORK
    docker_network: str = "fan"
    lxd: bool = False
    lxd_network: str = "lxdbr0"
    metrics_port: int = 9635
    # As Juju has them: an address may hold a password.
    install_sources: str = pydantic.Field(default="", repr=False)
    install_keys: str = ""

    @property
    def sources(self) -> tuple[PackageSource, ...]:
        """Where packages come from besides the system's own sources."""
        return parse_sources(self.install_sources, self.install_keys)

    @pydantic.field_validator("overlay", mode="before")
    @classmethod
    def _check_overlay(cls, value: object) -> IPv4Network:
        return _parse_network(str(value), "250.0.0.0/8")

    @pydantic.field_validator("underlay", mode="before")
    @classmethod
    def _check_underlay(cls, value: object) -> IPv4Network | None:
        text = "" if value is None else str(value).strip()
        return _parse_network(text, "172.30.0.0/16") if text else None

    @pydantic.field_validator("encapsulation", "docker", mode="before")
    @classmethod
    def _check_choice(cls, value: str, info: pydantic.ValidationInfo) -> str:
        docker = info.field_name == "docker"
        known = [d.value for d in Docker] if docker else get_args(fannet.Encapsulation)
        if value not in known:
            raise ValueError(f"{value!r} is not one of: {', '.join(known)}")
        return value

    @pydantic.field_validator("vni")
    @classmethod
    def _check_vni(cls, value: int) -> int:
        return _check_range(value, 0, 16777215)

    @pydantic.field_validator("port")
    @classmethod
    def _check_port(cls, value: int) -> int:
        return _check_range(value, 1, 65535)

    @pydantic.field_validator("metrics_port")
    @classmethod
    def _check_metrics_port(cls, value: int) -> int:
        return _check_range(value, 1024, 65535)

    @pydantic.field_validator("mtu")
    @classmethod
    def _check_mtu(cls, value: int) -> int:
        least, most = _MTU
        if value and not least <= value <= most:
            raise ValueError(
                f"{value} is out of range; give {least} to {most}, "
                "or 0 for what the machine's network device leaves"
            )
        return value

    @pydantic.field_validator("docker_network")
    @classmethod
    def _check_docker_network(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or value in _DOCKERS_OWN:
            raise ValueError(
                f"{value!r} is not a name for it; give up to 63 letters, digits, dots, hyphens "
                f"and underscores, and none of: {', '.join(_DOCKERS_OWN)}"
            )
        return value

    @pydantic.field_validator("lxd_network")
    @classmethod
    def _check_lxd_network(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError(f"{value!r} is not an LXD bridge; give its name, such as lxdbr0")
        return value

    @pydantic.model_validator(mode="after")
    def _check_together(self) -> Config:
        parse_sources(self.install_sources, self.install_keys)
        if self.underlay:
            try:
                fannet.Mapping(self.overlay, self.underlay)
            except fannet.MappingError as error:
                raise ValueError(f"options overlay and underlay: {error}") from error
        if self.lxd and self.encapsulation == "ipip":
            raise ValueError(
                "options lxd and encapsulation: LXD's bridge can't be an ipip fan, "
                "which routes; give encapsulation=vxlan, or lxd=false"
            )
        if self.lxd and self.dhcp:
            raise ValueError(
                "options lxd and dhcp: LXD hands out addresses on its bridge itself; "
                "give dhcp=false, or lxd=false"
            )
        return self


def parse_config(options: Mapping[str, Any]) -> Config:
    """Return the options, by name as Juju has them, checked.

    Raises:
        ConfigError: some are wrong.
    """
    try:
        return Config.model_validate({name.replace("-", "_"): v for name, v in options.items()})
    except pydantic.ValidationError as error:
        faults: list[str] = []
        for fault in error.errors(include_url=False, include_input=False):
            text = fault["msg"].removeprefix("Value error, ")
            option = f"option {str(fault['loc'][0]).replace('_', '-')}: " if fault["loc"] else ""
            faults.append(f"{option}{text}")
        raise ConfigError("; ".join(faults)) from None


def list_differences(one: Config, other: Config) -> list[str]:
    """Return the options that make two fans differ, such as `mtu 0 and 1400`."""
    return [
        f"{name.replace('_', '-')} {_show(getattr(one, name))} and {_show(getattr(other, name))}"
        for name in type(one).model_fields
        if name not in OWN and getattr(one, name) != getattr(other, name)
    ]


def _show(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    return "empty" if value is None else str(value).lower()


def _parse_network(value: str, example: str) -> IPv4Network:
    try:
        network = IPv4Network(value)
    except ValueError as error:
        reason = str(error).replace(repr(value), "it")
        raise ValueError(
            f"{value!r} is not an IPv4 network ({reason}); give one such as {example}"
        ) from error
    if "/" not in value:
        raise ValueError(f"{value!r} has no prefix length; give one such as {example}")
    return network


def _check_range(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ValueError(f"{value} is out of range; give {least} to {most}")
    return value
