"""A `process` role that is asked to stop in the same instant in which another generation of profiles becomes live."""

from __future__ import annotations

import os
import signal

from schemas.errors import NewGenerationError
from streams.boundaries import Hook
from streams.journey import Journey
from streams.roles import process
from streams.settings import load_settings


def superseded(_journey: Journey) -> Hook:
    """A hook for that, at the claim."""

    def hook(through: str) -> None:
        if through == "claim":
            os.kill(os.getpid(), signal.SIGTERM)
            raise NewGenerationError("a switch has made another generation the live one")

    return hook


if __name__ == "__main__":
    process.run(load_settings(), watch=superseded)
