"""A `process` role that dies by `os._exit` right after one step: `crashing_worker STEP PASSAGE IN_FLIGHT`.

It dies at the first passage of STEP from PASSAGE on at which at least IN_FLIGHT decisions are on their way.
"""

from __future__ import annotations

import os
import sys

from streams import effects
from streams.boundaries import BOUNDARIES, Hook
from streams.journey import Journey
from streams.roles import process
from streams.settings import load_settings
from streams.slices import Aligner

EXIT_CODE = 9


def crash_at(journey: Journey, step: str, passage: int, in_flight: int) -> Hook:
    """A hook that ends the process."""
    passages = 0

    def hook(through: str) -> None:
        nonlocal passages
        assert through in BOUNDARIES, f"{through} is a step that no test dies at"
        passages += through == step
        if through == step and passages >= passage and journey.outstanding >= in_flight:
            os._exit(EXIT_CODE)

    return hook


if __name__ == "__main__":
    _, wanted, first, least = sys.argv
    effects.PROFILES_A_TRANSACTION = 1  # every commit has parts
    Aligner.take.__defaults__ = (10,)  # a poll is many decisions, so that some are on their way when the next is folded
    process.run(load_settings(), watch=lambda journey: crash_at(journey, wanted, int(first), int(least)))
