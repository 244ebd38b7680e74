"""Each bundle is one that Juju 3.6 and 4 take, of charms that have what it asks of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from localmodel.operations.bundles import read_bundle

ROOT = Path(__file__).parents[2]
OURS = {file.parent.name: file for file in ROOT.glob("charms/*/charmcraft.yaml")}
BUNDLES = sorted(
    file.stem for file in ROOT.glob("bundles/*.yaml") if not file.stem.endswith("-local")
)
every_bundle = pytest.mark.parametrize("name", BUNDLES)

TEXT, TEXTS = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
BASE = {"type": "string", "pattern": r"^ubuntu@\d\d\.04/stable$"}
APPLICATION = {
    "type": "object",
    "required": ["charm"],
    "additionalProperties": False,
    "properties": {
        "annotations": TEXTS,
        "base": BASE,
        "bindings": TEXTS,
        "channel": TEXT,
        "charm": TEXT,
        "constraints": TEXT,
        "devices": TEXTS,
        "expose": {"type": "boolean"},
        "num_units": {"type": "integer", "minimum": 0},
        "options": {"type": "object"},
        "plan": TEXT,
        "resources": {
            "type": "object",
            "additionalProperties": {"type": ["string", "integer"]},
        },
        "revision": {"type": "integer", "minimum": 0},
        "storage": TEXTS,
        "to": {"type": "array", "items": TEXT},
        "trust": {"type": "boolean"},
    },
}
MACHINE = {
    "type": ["object", "null"],
    "additionalProperties": False,
    "properties": {"annotations": TEXTS, "base": BASE, "constraints": TEXT},
}
# What Juju 4's internal/charm/bundledata.go has, but for what only overlays and Kubernetes may.
# Juju 3.6 has all of it, and warns of other keys, such as name.
BUNDLE = {
    "type": "object",
    "required": ["applications", "default-base", "description"],
    "additionalProperties": False,
    "properties": {
        "applications": {"type": "object", "additionalProperties": APPLICATION},
        "default-base": BASE,
        "description": TEXT,
        "machines": {
            "type": "object",
            "propertyNames": {"pattern": r"^\d+$"},
            "additionalProperties": MACHINE,
        },
        "relations": {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2},
        },
        "saas": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"url": TEXT},
            },
        },
        "tags": {"type": "array", "items": TEXT},
    },
}
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "int": int,
    "float": (int, float),
    "boolean": bool,
    "secret": str,
}


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "bundles" / f"{name}.yaml").read_text())


def read_metadata(charm: str) -> dict[str, Any]:
    return yaml.safe_load(OURS[charm].read_text())


def list_ours(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The metadata of each application whose charm is in this repository."""
    apps = bundle["applications"].items()
    return {app: read_metadata(spec["charm"]) for app, spec in apps if spec["charm"] in OURS}


@every_bundle
def test_a_bundle_has_only_what_both_releases_of_juju_know(name: str) -> None:
    jsonschema.validate(load(name), BUNDLE)


def test_a_key_that_juju_does_not_know_would_be_found() -> None:
    for wrong in ({"name": "fan"}, {"series": "jammy"}, {"default-base": "jammy"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(load("fan") | wrong, BUNDLE)


@every_bundle
def test_a_bundle_takes_its_charms_from_charmhub(name: str) -> None:
    for spec in load(name)["applications"].values():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", spec["charm"])
        assert re.fullmatch(r"[a-z0-9.]+/(stable|candidate|beta|edge)", spec["channel"])


@every_bundle
def test_a_bundles_base_is_one_that_its_charms_are_packed_for(name: str) -> None:
    bundle = load(name)
    release = bundle["default-base"].partition("/")[0]
    for metadata in list_ours(bundle).values():
        assert {f"{release}:amd64", f"{release}:arm64"} <= set(metadata["platforms"])


@every_bundle
def test_subordinates_have_no_units_and_a_principal_each(name: str) -> None:
    bundle = load(name)
    ours = list_ours(bundle)
    assert ours
    for app, spec in bundle["applications"].items():
        assert ("num_units" in spec) == (app not in ours)
        assert "to" not in spec or app not in ours
    sides = [{side.partition(":")[0] for side in pair} for pair in bundle["relations"]]
    for app in ours:
        assert any(app in pair and pair - set(ours) for pair in sides), app


@every_bundle
def test_machines_are_those_that_units_are_placed_on(name: str) -> None:
    bundle = load(name)
    placed = {to for spec in bundle["applications"].values() for to in spec.get("to", [])}
    assert {to for to in placed if to.isdigit()} == set(bundle.get("machines", {}))


@every_bundle
def test_relations_join_endpoints_of_one_interface_that_the_charms_have(name: str) -> None:
    bundle = load(name)
    ours = list_ours(bundle)
    for pair in bundle["relations"]:
        interfaces: set[str] = set()
        for side in pair:
            app, endpoint = side.split(":")
            assert app in bundle["applications"]
            if app in ours:
                metadata = ours[app]
                found = metadata["requires"] | metadata["provides"]
                interfaces.add(found[endpoint]["interface"])
            else:
                # What is not ours is asked for what every charm has.
                assert endpoint == "juju-info"
                interfaces.add(endpoint)
        assert len(interfaces) == 1


@every_bundle
def test_options_are_the_charms_and_of_their_types(name: str) -> None:
    bundle = load(name)
    for app, metadata in list_ours(bundle).items():
        for option, value in bundle["applications"][app].get("options", {}).items():
            kind = metadata["config"]["options"][option]["type"]
            assert isinstance(value, PYTHON_TYPES[kind])
            # To Python a bool is an int, too.
            assert isinstance(value, bool) == (kind == "boolean")


@every_bundle
def test_the_local_overlay_takes_each_charm_from_dist_and_its_channel_away(name: str) -> None:
    bundles = ROOT / "bundles"
    overlaid = read_bundle(bundles / f"{name}.yaml", [bundles / f"{name}-local.yaml"])
    bundle = load(name)["applications"]
    assert set(load(f"{name}-local")["applications"]) == set(overlaid.applications) == set(bundle)
    for app, spec in overlaid.applications.items():
        charm = bundle[app]["charm"]
        ours = charm if charm in OURS else "apache2"
        assert (spec.charm, spec.channel) == (str(ROOT / "dist" / f"{ours}.charm"), "")


def test_one_bundle_has_every_charm_and_several_principals() -> None:
    bundle = load("everything")
    assert set(list_ours(bundle)) == set(OURS)
    assert len(bundle["applications"]) >= len(OURS) + 2
