"""Wrong input through the real command line: one line that says what is wrong, and no change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import command, pack


@pytest.fixture(scope="module")
def files(juju: jubilant.Juju, charms: Path) -> dict[str, Path]:
    """A model with a principal and a subordinate on one machine; the files to go wrong with."""
    principal = pack(
        charms,
        "principal",
        config={"size": {"type": "int"}},
        actions={"act": {}},
        provides={"web": {"interface": "http"}},
    )
    subordinate = pack(
        charms,
        "subordinate",
        subordinate=True,
        requires={"juju-info": {"interface": "juju-info", "scope": "container"}},
    )
    other = pack(charms, "other", requires={"db": {"interface": "pgsql"}})
    juju.deploy(principal)
    juju.deploy(subordinate)
    juju.deploy(other, to="0")
    broken = charms / "broken.charm"
    broken.write_text("no charm")
    bundles = {
        "key": f"applications: {{a: {{charm: {principal}, colour: red}}}}",
        "series": f"series: focal\napplications: {{a: {{charm: {principal}}}}}",
        "machine": f"machines: {{0: {{}}}}\napplications: {{a: {{charm: {principal}}}}}",
        "placed": f"machines: {{0: {{}}}}\napplications: {{s: {{charm: {subordinate}, to: [0]}}}}",
        "stranger": f"applications: {{a: {{charm: {principal}}}}}\nrelations: [[a, b]]",
    }
    for name, text in bundles.items():
        (charms / f"{name}.yaml").write_text(text)
    named = {name: charms / f"{name}.yaml" for name in bundles}
    return {"principal": principal, "subordinate": subordinate, "broken": broken, **named}


REFUSALS: list[tuple[str, str]] = [
    ("deploy nonesuch", 'charm or bundle "nonesuch" not found'),
    ("deploy ./nonesuch.charm", "not found"),
    ("deploy {broken}", "not a valid packed charm"),
    ("deploy {principal}", "application already exists"),
    ("deploy {principal} Wrong_Name", 'invalid application name "Wrong_Name"'),
    ("deploy {principal} new --to 99", "machine 99 not found"),
    ("deploy {principal} new --to lxd:0", "lxd:0"),
    ("deploy {principal} new --config nonesuch=1", 'unknown option "nonesuch"'),
    ("deploy {principal} new --config size=big", 'option "size" expected int, got "big"'),
    ("deploy {principal} new --resource nonesuch=/dev/null", 'resource "nonesuch"'),
    ("deploy {subordinate} new --to 0", "subordinate"),
    ("deploy {subordinate} new -n 2", "subordinate"),
    ("deploy {key}", "colour"),
    ("deploy {series}", "series"),
    ("deploy {machine}", "not referred to by a placement directive"),
    ("deploy {placed}", "subordinate"),
    ("deploy {stranger}", '"b" not defined'),
    ("integrate principal nonesuch", 'application "nonesuch" not found'),
    ("integrate principal:nonesuch subordinate", 'has no "nonesuch" relation'),
    ("integrate principal other:db", "no relations found"),
    ("remove-relation principal subordinate", "not found"),
    ("remove-application --no-prompt nonesuch", 'application "nonesuch" not found'),
    ("remove-unit --no-prompt principal/9", 'unit "principal/9" not found'),
    ("add-unit nonesuch", 'application "nonesuch" not found'),
    ("add-unit subordinate", "subordinate"),
    ("remove-machine 99", "machine 99 not found"),
    ("remove-machine 0", "hosts units"),
    ("config nonesuch", 'application "nonesuch" not found'),
    ("config principal nonesuch=1", 'unknown option "nonesuch"'),
    ("config principal size=big", "expected int"),
    ("config principal nonesuch", 'key "nonesuch" not found'),
    ("model-config nonesuch=1", 'key "nonesuch" not found'),
    ("refresh principal --path {subordinate}", "cannot refresh"),
    ("run principal/0 nonesuch", 'action "nonesuch" not defined'),
    ("exec -- true", "--machine, --application or --unit"),
    ("ssh 99 true", "machine 99 not found"),
    ("show-unit principal/9", 'unit "principal/9" not found'),
    ("show-secret nonesuch", "nonesuch"),
    ("grant-secret nonesuch principal", "nonesuch"),
    ("resolved principal/0", "not in an error state"),
    ("attach-resource principal nonesuch=/dev/null", 'resource "nonesuch"'),
    ("trust nonesuch", 'application "nonesuch" not found'),
]


# Juju's exit status is 0 where an operation was taken and its task is refused.
REFUSED_TASKS: list[tuple[str, str]] = [
    ("run principal/9 act", 'unit "principal/9" not found'),
    ("run principal/0 act extra=1", 'given {"extra":1}'),
    ("exec --unit principal/9 -- true", 'unit "principal/9" not found'),
]


def look(juju: jubilant.Juju) -> tuple[object, ...]:
    """All there is to see of the model, without the time of day."""
    status = juju.status()
    return status.model, status.machines, status.apps, juju.config("principal"), juju.secrets()


@pytest.fixture(scope="module")
def unchanged(juju: jubilant.Juju, files: dict[str, Path]) -> Iterator[None]:
    """All tests of this module together change nothing."""
    before = look(juju)
    yield
    assert look(juju) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("words", "complaint"), REFUSALS, ids=[w for w, _ in REFUSALS])
def test_wrong_input_is_refused_in_one_line(
    juju: jubilant.Juju, files: dict[str, Path], words: str, complaint: str
) -> None:
    verb, *rest = words.format(**files).split()
    done = command("juju", verb, "--model", str(juju.model), *rest, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("ERROR ")
    assert done.stderr.count("\n") == 1
    assert complaint in done.stderr


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("words", "complaint"), REFUSED_TASKS, ids=[w for w, _ in REFUSED_TASKS])
def test_a_task_that_is_refused_says_why(
    juju: jubilant.Juju, files: dict[str, Path], words: str, complaint: str
) -> None:
    verb, *rest = words.split()
    done = command("juju", verb, "--model", str(juju.model), *rest, check=False)
    assert done.returncode == 0
    assert complaint in done.stdout + done.stderr


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("nonesuch", '"nonesuch" is not a juju command'),
        ("add-model Wrong_Name", "not a valid name"),
        ("add-model {model}", "already exists"),
        ("destroy-model --no-prompt nonesuch", 'model "nonesuch" not found'),
        ("status --model nonesuch", 'model "nonesuch" not found'),
        ("status --format xml", "xml"),
        ("add-model new --config nonesuch=1", 'key "nonesuch" not found'),
    ],
)
def test_wrong_models_and_commands_are_refused(
    juju: jubilant.Juju, files: dict[str, Path], words: str, complaint: str
) -> None:
    done = command("juju", *words.format(model=juju.model).split(), check=False)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
