"""The pages' commands, typed as shown and in their order, each page on machines of its own.

Only blocks without a mark are typed here; tests/pages.py says what the marks mean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jubilant
import pytest

from tests.integration.reader import Reader
from tests.integration.steps import check_active
from tests.integration.test_spare import PREPARE as MAKE_TELL
from tests.pages import take
from tools.image import build_image
from tools.instance import Published, sudo
from tools.pack import ROOT

MakeReader = Callable[..., Reader]


@pytest.fixture
def instead(registry: jubilant.Juju, published: Published) -> dict[str, str]:
    """What is typed in place of others' charms, and of images that nobody has built here."""
    mlucas, golden = (
        build_image(name, "registry/0", registry.cli) for name in ("mlucas", "golden-ratio")
    )
    return {
        "./run juju": "juju",
        "localmodel up": f"{sys.executable} -m localmodel up",
        "deploy mprime": f"deploy mprime --resource mprime-image={mlucas}",
        "deploy golden-ratio": f"deploy golden-ratio --resource golden-ratio-image={golden}",
        "opentelemetry-collector": "collector",
        "registry.example.com:5000/mlucas@sha256:…": published.image,
        "registry.example.com:5000/tell:1": "tell:1",
        "registry.example.com:5000/encode@sha256:…": "tell:1",
        "./mlucas.tar": str(mlucas),
        "./mprime.charm": "./dist/mprime.charm",
    }


@pytest.fixture
def make_reader(
    juju: jubilant.Juju, charms: dict[str, Path], instead: dict[str, str], tmp_path: Path
) -> MakeReader:
    """Makes a reader with the files that pages speak of, whose model is the test's."""
    for name in ("password.txt", "new-password.txt", "key.txt"):
        (tmp_path / name).write_text("correct horse\n")
    (tmp_path / "worktodo.txt").write_text("Test=859433,70,1\n")

    def make(before: Mapping[str, Callable[[], object]] | None = None) -> Reader:
        return Reader(juju, tmp_path, instead, before)

    return make


def test_the_readme_and_the_private_registry(
    make_reader: MakeReader, juju: jubilant.Juju, published: Published, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_text(published.authority)
    reader = make_reader()
    reader.read(take("README.md", __file__))
    check_active(juju)
    reader.read(take("docs/how-to/private-registry.md", __file__))
    check_active(juju)


def test_mprime_and_how_a_subordinate_lives(
    make_reader: MakeReader, juju: jubilant.Juju, published: Published, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_text(published.authority)

    def await_savefile() -> None:
        juju.wait(lambda _: "checkpoint_age" in read_metrics(), successes=1)

    def read_metrics() -> str:
        return sudo(juju, "curl -s http://localhost:9634/metrics || true", machine=0).stdout

    reader = make_reader({"curl": await_savefile})
    reader.read(take("charms/mprime/README.md", __file__))
    check_active(juju)
    reader.read(take("docs/explanation/how-a-subordinate-lives.md", __file__))


def test_spare(make_reader: MakeReader, juju: jubilant.Juju) -> None:
    def make_image() -> None:
        juju.scp(ROOT / "tests/images/tell", "apache2/0:/tmp/tell", scp_options=["-r"])
        sudo(juju, MAKE_TELL, machine=0, wait=300)

    reader = make_reader({"juju deploy spare": make_image})
    reader.read(take("charms/spare/README.md", __file__))


def test_golden_ratio(make_reader: MakeReader, juju: jubilant.Juju) -> None:
    file = "/var/lib/golden-ratio/golden-ratio-0/phi.txt"

    def await_digits() -> None:
        juju.wait(
            lambda _: juju.run("golden-ratio/0", "progress").results["phase"] == "done",
            successes=1,
        )

    def damage_digits() -> None:
        digit = int(sudo(juju, f"head -c 1000000 {file} | tail -c 1", machine=0).stdout)
        write = f"dd of={file} bs=1 seek=999999 conv=notrunc"
        sudo(juju, f"printf {9 - digit} | {write}", machine=0)

    reader = make_reader({"ls -l": await_digits, "juju run golden-ratio/0 verify": damage_digits})
    reader.read(take("charms/golden-ratio/README.md", __file__))


def test_the_air_gap(make_reader: MakeReader, juju: jubilant.Juju) -> None:
    juju.deploy(ROOT / "dist" / "apache2.charm")
    make_reader().read(take("docs/how-to/air-gap.md", __file__))
    check_active(juju)


def test_the_fans_bundle(make_reader: MakeReader, juju: jubilant.Juju) -> None:
    make_reader().read(take("docs/how-to/fan.md", __file__))
    assert juju.status().apps["fan"].app_status.current == "active"


def test_the_local_model(instead: dict[str, str], tmp_path: Path) -> None:
    juju = jubilant.Juju()
    try:
        Reader(juju, tmp_path, instead).read(take("lib/localmodel/README.md", __file__))
    finally:
        juju.destroy_model("web", force=True)
