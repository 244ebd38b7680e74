"""What the snap runs: the charm's search, whose command can be set; what its commands print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator

from dockerhost import Image
from harvest.options import split_command
from harvest.workload import Desired, Share
from mprime import config, texts
from mprime.engines import Search
from mprime.search import SearchJob, SearchWorkload


class Config(config.Config):
    """The charm's options, and the arguments to the image's entry point."""

    command: Annotated[tuple[str, ...], BeforeValidator(split_command)] = ()


class Searching(SearchWorkload):
    """A search for Mersenne primes, as the charm has it."""

    options = Config

    def make_job(self, desired: Desired[config.Config], image: Image, share: Share) -> SearchJob:
        job = super().make_job(desired, image, share)
        asked = desired.config
        # What is not given is the adapter's, which knows its program.
        if isinstance(asked, Config) and asked.command:
            return replace(job, command=asked.command)
        return job


SEARCH = Searching()


def list_progress(search: Search) -> Mapping[str, Any]:
    """Return what the command progress prints."""
    return texts.list_progress(search.progress)


def list_results(search: Search) -> Mapping[str, Any]:
    """Return what the command results prints."""
    return texts.list_results(search.results)
