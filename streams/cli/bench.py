"""`footfall bench`: what one worker does here, and where its time goes."""

from __future__ import annotations

import importlib

from schemas.errors import ConfigurationError


def run(seconds: float, *, profile: bool) -> int:
    """Measure for so many seconds, after as many to warm up.

    Raises ConfigurationError outside a checkout: the load is not part of the installed package.
    """
    try:
        budget = importlib.import_module("benchmarks.budget")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`footfall bench` needs the checkout, and what `make setup` installs ({error}): run it as "
            "`.venv/bin/footfall bench` in the checkout's folder."
        ) from error
    return int(budget.main(seconds, profile=profile))
