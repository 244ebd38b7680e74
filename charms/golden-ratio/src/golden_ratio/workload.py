"""The charm's options and workload: the program of images/golden-ratio, and how it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from dockerhost import Container, Image
from golden_ratio.computation import Computation, count_digits, read_computation
from harvest.limits import read_memory
from harvest.options import Options
from harvest.untrusted import read_label
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload

TOO_MANY, WRONG, NO_FILE, LAST = 3, 4, 5, 6  # exit codes; what is beyond comes from the engine
# What the program asks for, as its memory.c has it.
_OWN, _EACH = 16 * 2**20, {"fast": 7, "full": 12}  # bytes, and bytes a digit
_MOST_DIGITS, _MOST_THREADS = 10**10, 256
_LABELS = "org.opencontainers.image."
_WANTED = "golden-ratio.digits"  # on the container: how many it is to compute
_FAILURE = re.compile(r"^golden-ratio: ")
# By option: whether a value is allowed, and which are. How many digits are too many: see make_job.
_ALLOWED: dict[str | None, tuple[Callable[[Any], object], str]] = {
    "digits": (lambda value: value >= 1000, "1000 or more"),
    "verify": (("fast", "full").__contains__, "fast or full"),
    "price_per_hour": (lambda value: 0 <= value < float("inf"), "what an hour costs, or 0"),
    "currency": (re.compile(r"[^\W\d_]{1,8}|[$€£¥]").fullmatch, "one such as USD or €"),
}


class Config(Options):
    """The charm's options."""

    digits: int = 10_000_000
    verify: Literal["fast", "full"] = "fast"
    price_per_hour: float = 0
    currency: str = "USD"
    metrics_port: int = 9636

    @pydantic.field_validator("digits", "verify", "price_per_hour", "currency", mode="before")
    @classmethod
    def _check(cls, value: Any, info: pydantic.ValidationInfo) -> Any:
        is_allowed, allowed = _ALLOWED[info.field_name]
        if not is_allowed(value):
            raise ValueError(f"{value!r} is not allowed; give {allowed}")
        return value


@dataclass(frozen=True, kw_only=True)
class DigitsJob(Job):
    """A computation of so many digits."""

    digits: int

    def find_left(self, work: WorkDirectory, exit_code: int) -> str | None:
        return None if exit_code == 0 and count_digits(work) == self.digits else ""


class DigitsWorkload(Workload[Config, Computation]):
    """Digits of the golden ratio."""

    name = "golden-ratio"
    noun = "computation"
    options = Config
    stage = "golden-ratio.stage"

    def explain_image(self, image: Image) -> str:
        title = read_label(image.labels, f"{_LABELS}title")
        return "" if title == self.name else f"its label {_LABELS}title is not {self.name}"

    def make_job(self, desired: Desired[Config], image: Image, share: Share) -> DigitsJob:
        config = desired.config
        memory, each = config.memory_limit or read_memory(), _EACH[config.verify]
        if config.digits > (most := min(max(memory - _OWN, 0) // each, _MOST_DIGITS)):
            raise ValueError(
                f"option digits: {config.digits:,} do not fit into {memory / 1e6:,.0f} MB of "
                f"memory with verify={config.verify}; {most:,} fit"
            )
        wanted, threads = str(config.digits), str(min(share.threads, _MOST_THREADS))
        return DigitsJob(
            program=self.name,
            digits=config.digits,
            memory=((_OWN + config.digits * each) // 2**20 + 1) * 2**20,
            environment={"DIGITS": wanted, "THREADS": threads, "VERIFY": config.verify},
            labels={_WANTED: wanted},
            mode=0o755,
            failure=_FAILURE,
        )

    def read(
        self, container: Container, work: WorkDirectory, log: Sequence[str]
    ) -> Report[Computation] | None:
        wanted = read_label(container.labels, _WANTED)
        if not re.fullmatch("[0-9]{1,11}", wanted):
            return None
        running = container.state == "running"
        computation = read_computation(work, int(wanted), running=running)
        code = 0 if running else container.exit_code
        said = find_failure(log) if 0 < code <= LAST else ""
        return Report(
            program=self.name,
            version=read_label(container.labels, f"{_LABELS}version"),
            text=computation.text,
            details=computation,
            busy=not computation.verified,
            unsaved=said if code == NO_FILE else "",
            refused=f"option digits: {said}" if code == TOO_MANY else said,
            savefiles=None if computation.verified else re.compile(r"step|phi\.txt"),
            failure=_FAILURE,
        )


GOLDEN_RATIO = DigitsWorkload()


def find_failure(log: Sequence[str]) -> str:
    """Return why a run failed, as it told last."""
    failures = [line for line in log if _FAILURE.match(line)] or ["it failed, and did not say why"]
    return _FAILURE.sub("", failures[-1])
