"""A machine for the charm's tests, with the images of its programs and what those leave."""

from __future__ import annotations

from pathlib import Path

from dockerhost import Image
from lib.harvest.tests.unit import fake_host

MLUCAS = Image(
    id="sha256:1",
    labels={"mersenne.engine": "mlucas", "mersenne.engine.version": "20.1.1"},
)
MPRIME = Image(
    id="sha256:2",
    labels={"mersenne.engine": "mprime", "mersenne.engine.version": "30.19"},
)
DATA = Path(__file__).parent / "data"


class Host(fake_host.Host):
    """Stands in for a machine on which the search runs."""

    def show(self, *names: str) -> None:
        """Put recorded files into the work directory, as the program left them."""
        for name in names:
            (self.directory / name).write_bytes((DATA / name).read_bytes())

    def list_work(self, *exponents: int) -> None:
        """Leave these exponents in the work list."""
        lines = (f"Test={'0' * 32},{exponent},60,1\n" for exponent in exponents)
        (self.directory / "worktodo.ini").write_text("".join(lines))
