"""How far the digits are: what the program tells, in a directory where it may write anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pydantic

from harvest.workdir import WorkDirectory

DIGITS_FILE = "phi.txt"
_Count = Annotated[int, pydantic.Field(ge=0, le=10**12)]


class State(pydantic.BaseModel, frozen=True, strict=True):
    """What state.json tells of a run; the README of the image says what each value means."""

    phase: Literal["computing", "writing", "verifying", "done", "stopped", "failed"]
    digits: _Count
    step: _Count
    steps: _Count
    seconds: float = pydantic.Field(gt=0, le=1e12, allow_inf_nan=False)
    speed: _Count | None = pydantic.Field(alias="digits-per-second")
    verified: bool
    verify: Literal["fast", "full"]


@dataclass(frozen=True)
class Computation:
    """How many decimals a container is to compute, how many are in the file, and what its run
    tells; None if it tells nothing yet.
    """

    wanted: int
    there: int
    state: State | None

    @property
    def verified(self) -> State | None:
        """What the run tells that verified the digits which are wanted; None if none did."""
        state = self.state
        done = state and state.phase == "done" and state.verified
        return state if done and self.there == self.wanted else None

    @property
    def text(self) -> str:
        """How far the digits are, in one line."""
        wanted, there, state = self.wanted, self.there, self.state
        if verified := self.verified:
            twice = " by two formulas" if verified.verify == "full" else ""
            speed = f"; {verified.speed:,} digits/s" if verified.speed else ""
            return f"{wanted:,} digits, verified{twice}{speed}"
        if state and state.phase in ("writing", "verifying"):
            return f"{state.phase} {wanted:,} digits"
        over = " from the start" if there not in (0, wanted) else ""
        step = f": step {state.step} of {state.steps}" if state and state.step else ""
        until = f"; the {there:,} from before stay until then" if over else ""
        return f"computing {wanted:,} digits{over}{step}{until}"


def read_computation(work: WorkDirectory, wanted: int, *, running: bool) -> Computation:
    """Return how far the container is that is to compute these digits. Raises OSError."""
    try:
        state = State.model_validate_json(work.read("state.json", 4096))
    except pydantic.ValidationError:
        state = None
    ended = state and state.phase in ("done", "stopped", "failed")
    if state and (state.digits != wanted or (running and ended)):
        state = None  # of an earlier run
    return Computation(wanted, count_digits(work), state)


def count_digits(work: WorkDirectory) -> int:
    """Return how many decimals the file has; 0 without one. Raises OSError."""
    return max(work.measure_file(DIGITS_FILE) - len("1.\n"), 0)
