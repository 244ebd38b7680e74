"""The demo: the suite deployed for real on this machine, until a Mersenne prime is found.

It does what a user would do, with the same commands, and shows each of them. The second part, the
fan, is in fan_demo, and the third, digits of the golden ratio, in phi_demo.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tools import fan_demo, phi_demo
from tools.image import ImageError, build_base, build_image
from tools.pack import ROOT, PackError, pack
from tools.stage import (
    SHIM,
    DemoError,
    console,
    juju,
    list_models,
    print_step,
    progress_bar,
    renew_model,
    run_action,
    run_program,
    spinner,
)

BUNDLE = ROOT / "bundles" / "prime-time.yaml"
OVERLAY = ROOT / "bundles" / "prime-time-local.yaml"
MODEL = "demo"
# In a model of its own: the demo's has just the one machine.
REGISTRY_MODEL = "registry"
# Longest time for the search to find its first prime, in seconds.
PATIENCE = 600.0


def main() -> int:
    """Run `./run demo`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="run demo",
        description="Deploy apache2 with mprime on this machine and find a Mersenne prime; then "
        "let containers on two machines reach each other through the fan, and compute digits of "
        "the golden ratio.",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what it saw to a file")
    arguments = parser.parse_args()
    try:
        seen = show_demo()
    except (DemoError, PackError, ImageError) as error:
        print(f"run demo: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(seen, indent=2) + "\n")
    return 0


def show_demo() -> dict[str, Any]:
    """Go through all steps; return what was seen on the way."""
    began = time.monotonic()
    print_step("Pack the charms")
    with progress_bar() as progress:
        pack(["apache2", "fan", "golden-ratio", "mprime", "registry"], progress)
    print_step("Start the local model: root file system, network")
    run_program(str(SHIM / "localmodel"), "up")
    seen = show_search()
    seen["fan"] = fan_demo.show_fan()
    seen["golden-ratio"] = phi_demo.show_digits(MODEL, build_with_progress("golden-ratio"))
    seen["seconds"] = round(time.monotonic() - began, 1)
    console.print(LEFT_UP)
    print(fan_demo.summarize(seen["fan"]))
    print(phi_demo.summarize(seen["golden-ratio"]))
    exponent = json.loads(seen["results"]["json"])["primes"][0]
    print(f"mprime/0 on apache2/0's machine: M{exponent} is prime")
    return seen


def show_search() -> dict[str, Any]:
    """Deploy apache2 with mprime, and find a prime."""
    published = publish_image()
    deploy(published)
    seen = {"image": published["image"], "page": fetch_page(), "results": await_prime()}
    print_step("The result")
    # The unit's status is as old as its last hook.
    run_program(str(SHIM / "localmodel"), "tick", "--model", MODEL)
    print(juju("status", model=MODEL))
    for action in ("progress", "results"):
        console.print(f"[dim]$ juju run mprime/0 {action}[/dim]")
        print(run_action(MODEL, "mprime/0", action, form="plain"))
    return seen | {
        "status": json.loads(juju("status", "--format", "json", model=MODEL)),
        "progress": run_action(MODEL, "mprime/0", "progress"),
    }


LEFT_UP = f"""
The model stays up. To look around:
  sudo ./run juju status
  sudo ./run juju debug-log --include mprime/0 --level INFO
  sudo ./run juju run mprime/0 progress
  sudo ./run juju ssh apache2/0
or, as root, put {SHIM} on the PATH and call juju.
To remove all of it: sudo ./run clean
"""


def publish_image() -> dict[str, str]:
    """Build the search's image and push it to a registry of our own; return how to pull it."""
    print_step("Build the mlucas image, and push it to a registry with TLS")
    if REGISTRY_MODEL not in list_models():
        juju("add-model", "--no-switch", REGISTRY_MODEL)
    there = json.loads(juju("status", "--format", "json", model=REGISTRY_MODEL))
    if "registry" not in there["applications"]:
        juju("deploy", str(ROOT / "dist" / "registry.charm"), model=REGISTRY_MODEL)
    with spinner("base system from Debian's or Ubuntu's packages"):
        build_base()
    archive = build_with_progress("mlucas")
    juju("attach-resource", "registry", f"image={archive}", model=REGISTRY_MODEL)
    return run_action(REGISTRY_MODEL, "registry/0", "publish", "name=mlucas")


def build_with_progress(name: str) -> Path:
    """Build an image on the registry's machine; return its archive."""
    with spinner(f"images/{name}"):
        return build_image(name, "registry/0", lambda *words: juju(*words, model=REGISTRY_MODEL))


def deploy(published: dict[str, str]) -> None:
    """Deploy the bundle with its overlays on one machine."""
    renew_model(MODEL)
    print_step(
        "Deploy apache2 with mprime attached: bundles/prime-time.yaml with its local overlay"
    )
    options = {"image": published["image"], "registry-ca": published["ca"]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        yaml.safe_dump({"applications": {"mprime": {"options": options}}}, overlay)
        overlay.flush()
        overlays = ["--overlay", str(OVERLAY), "--overlay", overlay.name]
        juju("deploy", str(BUNDLE), *overlays, model=MODEL)


def fetch_page() -> str:
    """Fetch apache2's page over the machines' network."""
    print_step("Fetch apache2's page")
    status = json.loads(juju("status", "--format", "json", model=MODEL))
    unit = status["applications"]["apache2"]["units"]["apache2/0"]
    address = f"http://{unit['public-address']}/"
    page = juju("ssh", "0", "curl", "-fsS", address, model=MODEL)
    title = re.sub(r"<[^>]*>|\s+", " ", page).strip()
    console.print(f"  {address} says: {title[:70]}")
    return page


def await_prime() -> dict[str, Any]:
    """Follow the search until it reports its first prime; return its results."""
    print_step("Wait for the first prime")
    deadline = time.monotonic() + PATIENCE
    with progress_bar() as progress:
        bar = progress.add_task("the search starts", total=100)
        while time.monotonic() < deadline:
            results = run_action(MODEL, "mprime/0", "results")
            if json.loads(results["json"])["primes"]:
                return results
            now = run_action(MODEL, "mprime/0", "progress")
            if "exponent" in now:
                description = f"M{now['exponent']}: iteration {now['iteration']}"
                progress.update(bar, description=description, completed=float(now["percent"]))
            time.sleep(0.5)
    raise DemoError(f"no prime within {PATIENCE:.0f} s; see: ./run juju debug-log")


if __name__ == "__main__":
    sys.exit(main())
