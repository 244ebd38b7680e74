"""Each Terraform module is HCL, and knows its charm's options, endpoints and resources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
import tomli
import yaml

ROOT = Path(__file__).parents[2]
CHARMS = sorted(file.parent.name for file in ROOT.glob("charms/*/charmcraft.yaml"))
MODULES = sorted(folder.name for folder in (ROOT / "terraform").iterdir() if folder.is_dir())
every_charm = pytest.mark.parametrize("charm", CHARMS)
every_module = pytest.mark.parametrize("module", MODULES)
Blocks = dict[str, dict[str, Any]]


def load(module: str, file: str) -> dict[str, Any]:
    with (ROOT / "terraform" / module / f"{file}.tf").open() as stream:
        return strip(hcl2.load(stream))


def strip(value: Any) -> Any:
    """Take off the quotes that python-hcl2 leaves around strings, and what it adds to blocks."""
    if isinstance(value, dict):
        found = {strip(key): strip(each) for key, each in value.items()}
        return {key: each for key, each in found.items() if not str(key).startswith("__")}
    if isinstance(value, list):
        return [strip(each) for each in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def merge(blocks: list[dict[str, Any]]) -> Blocks:
    return {name: body for block in blocks for name, body in block.items()}


def read_metadata(charm: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "charms" / charm / "charmcraft.yaml").read_text())


def read_application(charm: str) -> dict[str, Any]:
    (resource,) = load(charm, "main")["resource"]
    return resource["juju_application"][charm.replace("-", "_")]


def test_the_page_takes_a_module_from_the_address_of_the_project() -> None:
    source = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["source"]
    assert f'"git::{source}//terraform/' in (ROOT / "terraform" / "README.md").read_text()


def test_each_charm_has_a_module_and_there_is_one_of_all() -> None:
    assert sorted([*CHARMS, "everything"]) == MODULES


@every_module
def test_a_module_asks_for_the_first_stable_provider(module: str) -> None:
    (settings,) = load(module, "terraform")["terraform"]
    assert settings["required_providers"] == [
        {"juju": {"source": "juju/juju", "version": "~> 1.0"}}
    ]


@every_module
def test_each_variable_and_output_is_described(module: str) -> None:
    for block in (load(module, "variables")["variable"], load(module, "outputs")["output"]):
        for name, body in merge(block).items():
            assert body["description"], name


@every_module
def test_a_module_uses_each_of_its_variables_and_no_other(module: str) -> None:
    declared = set(merge(load(module, "variables")["variable"]))
    text = (ROOT / "terraform" / module / "main.tf").read_text()
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared


@every_charm
def test_a_module_deploys_its_charm_without_units(charm: str) -> None:
    application = read_application(charm)
    assert application["charm"][0]["name"] == charm
    assert "units" not in application
    variables = merge(load(charm, "variables")["variable"])
    assert variables["app_name"]["default"] == charm
    assert [name for name, body in variables.items() if "default" not in body] == ["model_uuid"]


@every_charm
def test_a_module_takes_the_options_of_its_charm_and_refuses_others(charm: str) -> None:
    (validation,) = merge(load(charm, "variables")["variable"])["config"]["validation"]
    known = set(re.findall(r'"([^"]+)"', validation["condition"]))
    assert known == set(read_metadata(charm)["config"]["options"])


@every_charm
def test_a_module_takes_resources_if_its_charm_has_any(charm: str) -> None:
    resources = read_metadata(charm).get("resources", {})
    variables = merge(load(charm, "variables")["variable"])
    assert ("resources" in variables) == bool(resources)
    for name in resources:
        assert name in variables["resources"]["description"]


@every_charm
@pytest.mark.parametrize("role", ["provides", "requires"])
def test_a_module_tells_the_endpoints_of_its_charm(charm: str, role: str) -> None:
    told = merge(load(charm, "outputs")["output"])[role]["value"]
    assert told == {name.replace("-", "_"): name for name in read_metadata(charm)[role]}


def test_the_module_of_all_deploys_what_the_bundle_does() -> None:
    bundle = yaml.safe_load((ROOT / "bundles" / "everything.yaml").read_text())
    main = load("everything", "main")
    principals = {
        name
        for block in main["resource"]
        for name, body in block.get("juju_application", {}).items()
        if body["units"] == bundle["applications"][name]["num_units"]
    }
    modules = merge(main["module"])
    charms = {body["source"].removeprefix("../"): body for body in modules.values()}
    assert principals | set(charms) == set(bundle["applications"])
    for charm, body in charms.items():
        assert body.get("config", {}) == bundle["applications"][charm].get("options", {})
    (attached,) = (block["attached"] for block in main["locals"])
    assert {(pair["principal"], pair["subordinate"]) for pair in attached.values()} == {
        (f"${{juju_application.{one}}}", f"${{module.{other.replace('-', '_')}}}")
        for one, other in ([side.split(":")[0] for side in pair] for pair in bundle["relations"])
    }
    default = merge(load("everything", "variables")["variable"])["base"]["default"]
    assert bundle["default-base"] == f"{default}/stable"
