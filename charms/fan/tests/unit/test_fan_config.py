from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from charms.fan.tests.unit.conftest import SOURCE
from fan.config import Config, ConfigError, Docker, list_differences, parse_config


def test_the_defaults_here_are_the_charms() -> None:
    metadata = yaml.safe_load((SOURCE.parent / "charmcraft.yaml").read_text())
    options = {name: each["default"] for name, each in metadata["config"]["options"].items()}
    assert parse_config(options) == Config()
    assert len(options) == len(Config.model_fields)


def test_every_option_is_typed() -> None:
    config = parse_config(
        {"underlay": "172.30.0.0/16", "docker": "default-bridge", "lxd-network": "br-lxd"}
    )
    assert config.underlay == IPv4Network("172.30.0.0/16")
    assert config.docker is Docker.DEFAULT_BRIDGE
    assert config.lxd_network == "br-lxd"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"overlay": ""}, "option overlay: '' is not an IPv4 network"),
        (
            {"overlay": "250.0.0.0"},
            "'250.0.0.0' has no prefix length; give one such as 250.0.0.0/8",
        ),
        ({"overlay": "250.0.0.1/8"}, "option overlay: '250.0.0.1/8' is not an IPv4 network"),
        ({"overlay": "fd00::/8"}, "give one such as 250.0.0.0/8"),
        ({"underlay": "eth0/16"}, "option underlay: 'eth0/16' is not an IPv4 network"),
        ({"underlay": "10.0.0.0/8"}, "options overlay and underlay: "),
        ({"encapsulation": "gre"}, "'gre' is not one of: vxlan, ipip"),
        ({"docker": "Network"}, "'Network' is not one of: network, default-bridge, none"),
        ({"docker-network": "bridge"}, "option docker-network: 'bridge' is not a name for it"),
        ({"docker-network": "a b"}, "option docker-network: 'a b' is not a name for it"),
        ({"lxd-network": "a/../b"}, "option lxd-network: 'a/../b' is not an LXD bridge"),
        ({"vni": 1 << 24}, "option vni: 16777216 is out of range; give 0 to 16777215"),
        ({"port": 0}, "option port: 0 is out of range; give 1 to 65535"),
        ({"mtu": 575}, "option mtu: 575 is out of range; give 576 to 65535, or 0 for what"),
        ({"lxd": True, "encapsulation": "ipip"}, "options lxd and encapsulation: "),
        ({"lxd": True, "dhcp": True}, "options lxd and dhcp: LXD hands out addresses"),
        ({"install_sources": "- ["}, "option install_sources: it is not YAML (line 1, column 4)"),
        ({"install_sources": "jammy"}, "option install_sources: 'jammy' is not a source that is"),
        ({"install_keys": "[null]"}, "option install_keys: it has 1 items, and install_sources"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(options)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_wrong_options_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"mtu": 1, "port": -1})
    assert str(caught.value).count("option ") == 2


@given(
    st.dictionaries(
        st.sampled_from(sorted(name.replace("_", "-") for name in Config.model_fields)),
        st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.floats()),
    )
)
def test_whatever_is_given_either_fits_or_is_refused_in_one_line(options: dict[str, Any]) -> None:
    try:
        config = parse_config(options)
    except ConfigError as error:
        assert str(error).startswith("option")
    else:
        assert Config.model_validate(config.model_dump(mode="json")) == config


@given(prefix=st.integers(0, 32), address=st.integers(0, 2**32 - 1))
def test_an_overlay_that_is_taken_is_the_one_that_was_given(prefix: int, address: int) -> None:
    network = IPv4Network((address, prefix), strict=False)
    assert parse_config({"overlay": str(network)}).overlay == network


def test_differences_are_told_by_the_names_of_options() -> None:
    # What is the unit's, and not the fan's, is no difference between fans.
    own = Config(metrics_port=9999, install_sources="http://a b c", install_keys="[null]")
    assert list_differences(Config(), own) == []
    other = Config(docker_network="x", underlay=IPv4Network("172.30.0.0/16"), lxd=True)
    assert list_differences(Config(), other) == [
        "underlay empty and 172.30.0.0/16",
        "docker-network fan and x",
        "lxd false and true",
    ]
