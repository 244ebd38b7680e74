"""Every charm at once, as the bundle everything.yaml has them, with what dist/ has of them."""

from __future__ import annotations

from pathlib import Path

import jubilant
import yaml

from tests.integration.reader import Reader
from tests.integration.steps import read_base, run_hook
from tests.pages import take
from tools.image import build_image
from tools.pack import ROOT

BUNDLES = ROOT / "bundles"
SUBORDINATES = {
    "apache2/0": {"fan", "mprime"},
    "ubuntu/0": {"fan", "golden-ratio", "spare"},
}


def list_subordinates(status: jubilant.Status, principal: str) -> set[str]:
    return set(status.apps[principal.partition("/")[0]].units[principal].subordinates)


def test_every_charm_works_beside_the_others(
    juju: jubilant.Juju, registry: jubilant.Juju, charms: dict[str, Path], tmp_path: Path
) -> None:
    mlucas, golden = (
        str(build_image(name, "registry/0", registry.cli)) for name in ("mlucas", "golden-ratio")
    )
    changes = {
        "mprime": {"resources": {"mprime-image": mlucas}},
        "golden-ratio": {
            "options": {"digits": 100_000},
            "resources": {"golden-ratio-image": golden},
        },
        # Any image does; this one ends when it is done.
        "spare": {
            "options": {"command": "", "restart": "on-failure"},
            "resources": {"spare-image": golden},
        },
    }
    overlay = tmp_path / "overlay.yaml"
    base = read_base(charms["fan"])
    overlay.write_text(yaml.safe_dump({"default-base": base, "applications": changes}))
    overlays = [BUNDLES / "everything-local.yaml", overlay]
    juju.deploy(BUNDLES / "everything.yaml", overlays=overlays)

    def have_all(status: jubilant.Status) -> bool:
        return all(
            {unit.partition("/")[0] for unit in list_subordinates(status, principal)} == expected
            for principal, expected in SUBORDINATES.items()
        )

    juju.wait(have_all, successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)

    def work(status: jubilant.Status) -> bool:
        # One that came before the fan on its machine finds the fan's network at its next hook.
        for principal in SUBORDINATES:
            for unit in list_subordinates(status, principal):
                run_hook(juju, "update-status", unit)
        return jubilant.all_active(juju.status())

    juju.wait(work, successes=1)
    status = juju.status()
    versions = {app: status.apps[app].version for app in ("mprime", "golden-ratio", "spare")}
    assert versions == {
        "mprime": "mlucas 20.1.1",
        "golden-ratio": "golden-ratio 1",
        "spare": "spare-image",
    }
    assert status.apps["fan"].version.startswith("fannet ")
    for name, unit in status.get_units("fan").items():
        assert "1 peer verified" in unit.workload_status.message, name
    reader = Reader(juju, tmp_path, {})
    reader.read(take("docs/how-to/recover-from-blocked.md", __file__))
