"""The demo: the suite deployed for real on this machine, until a Mersenne prime is found.

It does what a user would do, with the same commands, and shows each of them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tools.image import ImageError, build_base, build_image
from tools.pack import ROOT, PackError, pack

SHIM = ROOT / ".venv" / "shim"
BUNDLE = ROOT / "bundles" / "prime-time.yaml"
OVERLAY = ROOT / "bundles" / "local.yaml"
MODEL = "demo"
# In a model of its own: the demo's has just the one machine.
REGISTRY_MODEL = "registry"
# Longest time for the search to find its first prime, in seconds.
PATIENCE = 600.0

console = Console(stderr=True, highlight=False, soft_wrap=True)


class DemoError(Exception):
    """A step failed; the text says which and why."""


def main() -> int:
    """Run `./run demo`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="run demo",
        description="Deploy apache2 with mprime on this machine and find a Mersenne prime.",
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
    step("Pack the charms")
    with progress_bar() as progress:
        pack(["apache2", "mprime", "registry"], progress)
    step("Start the local model: root file system, network")
    run_program(str(SHIM / "localmodel"), "up")
    published = publish_image()
    deploy(published)
    seen = {"image": published["image"], "page": fetch_page()}
    results = await_prime()
    step("What there is now")
    # The unit's status is as old as its last hook.
    run_program(str(SHIM / "localmodel"), "tick", "--model", MODEL)
    print(juju("status", model=MODEL))
    for action in ("progress", "results"):
        console.print(f"[dim]$ juju run mprime/0 {action}[/dim]")
        print(run_action("mprime/0", action, form="plain"))
    seen |= {
        "status": json.loads(juju("status", "--format", "json", model=MODEL)),
        "progress": run_action("mprime/0", "progress"),
        "results": results,
        "seconds": round(time.monotonic() - began, 1),
    }
    console.print(LEFT_UP)
    exponent = json.loads(results["json"])["primes"][0]
    print(f"mprime/0 on apache2/0's machine: M{exponent} is prime")
    return seen


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
    step("Build the mlucas image, and push it to a registry with TLS")
    if REGISTRY_MODEL not in list_models():
        juju("add-model", "--no-switch", REGISTRY_MODEL)
    there = json.loads(juju("status", "--format", "json", model=REGISTRY_MODEL))
    if "registry" not in there["applications"]:
        juju("deploy", str(ROOT / "dist" / "registry.charm"), model=REGISTRY_MODEL)
    with progress_bar() as progress:
        progress.add_task("base system from Debian's or Ubuntu's packages", total=None)
        build_base()
    with progress_bar() as progress:
        progress.add_task("images/mlucas", total=None)
        archive = build_image(
            "mlucas", "registry/0", lambda *words: juju(*words, model=REGISTRY_MODEL)
        )
    juju("attach-resource", "registry", f"image={archive}", model=REGISTRY_MODEL)
    return run_action("registry/0", "publish", "name=mlucas", model=REGISTRY_MODEL)


def deploy(published: dict[str, str]) -> None:
    """Deploy the bundle with its overlays on one machine."""
    if MODEL in list_models():
        step("Remove the last demo")
        juju("destroy-model", "--no-prompt", "--force", MODEL)
    step("Deploy apache2 with mprime attached: bundles/prime-time.yaml with bundles/local.yaml")
    juju("add-model", MODEL)
    options = {"image": published["image"], "registry-ca": published["ca"]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        yaml.safe_dump({"applications": {"mprime": {"options": options}}}, overlay)
        overlay.flush()
        overlays = ["--overlay", str(OVERLAY), "--overlay", overlay.name]
        juju("deploy", str(BUNDLE), *overlays, model=MODEL)


def fetch_page() -> str:
    """Fetch apache2's page over the machines' network."""
    step("Fetch apache2's page")
    status = json.loads(juju("status", "--format", "json", model=MODEL))
    unit = status["applications"]["apache2"]["units"]["apache2/0"]
    address = f"http://{unit['public-address']}/"
    page = juju("ssh", "0", "curl", "-fsS", address, model=MODEL)
    title = re.sub(r"<[^>]*>|\s+", " ", page).strip()
    console.print(f"  {address} says: {title[:70]}")
    return page


def await_prime() -> dict[str, Any]:
    """Follow the search until it reports its first prime; return its results."""
    step("Wait for the first prime")
    deadline = time.monotonic() + PATIENCE
    with progress_bar() as progress:
        bar = progress.add_task("the search begins", total=100)
        while time.monotonic() < deadline:
            results = run_action("mprime/0", "results")
            if json.loads(results["json"])["primes"]:
                return results
            now = run_action("mprime/0", "progress")
            if "exponent" in now:
                description = f"M{now['exponent']}: iteration {now['iteration']}"
                progress.update(bar, description=description, completed=float(now["percent"]))
            time.sleep(0.5)
    raise DemoError(f"no prime within {PATIENCE:.0f} s; see: ./run juju debug-log")


def step(text: str) -> None:
    """Say what comes now."""
    console.print(f"[bold]==> {text}[/bold]")


def progress_bar() -> Progress:
    """Return a bar for steps that take long."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def list_models() -> list[str]:
    """Return the names of the local model's models."""
    listed = json.loads(juju("models", "--format", "json"))
    return [model["short-name"] for model in listed["models"]]


def run_action(
    unit: str, action: str, *parameters: str, model: str = MODEL, form: str = "json"
) -> Any:
    """Run an action; return its results, or what it printed in another form than JSON."""
    printed = juju("run", "--format", form, unit, action, *parameters, model=model, quiet=True)
    return json.loads(printed)[unit]["results"] if form == "json" else printed


def juju(*words: str, model: str | None = None, quiet: bool = False) -> str:
    """Run a command of the local model's juju and return its output; its progress is shown."""
    name, *rest = words
    chosen = ["--model", model] if model else []
    return run_program(str(SHIM / "juju"), name, *chosen, *rest, quiet=quiet)


def run_program(*command: str, quiet: bool = False) -> str:
    """Run a program that shows its progress on standard error; return its standard output.

    Raises:
        DemoError: it failed; it has said why itself, unless it was to be quiet.
    """
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
    )
    if done.returncode:
        name = " ".join([Path(command[0]).name, *command[1:]])
        raise DemoError(f"{name} failed{': ' + done.stderr.strip() if quiet else ''}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
