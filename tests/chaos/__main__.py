"""Kills everything at random and looks whether anything is lost, counted twice or told differently: docs/chaos.md.

The last line is `kills N differences D`; the exit code is 0 only where D is 0.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from schemas.errors import ConfigurationError, FootfallError
from tests.chaos.brokers import control_command
from tests.chaos.experiment import EVENTS_PER_SECOND, Experiment, Plan, summary
from tests.chaos.monkey import Drill, least_seconds
from tests.chaos.stack import running
from tests.chaos.verdict import Difference

SHORT_SECONDS: Final = 105.0
LONG_SECONDS: Final = 640.0
"""Long enough for 100 kills."""
_BEGAN: Final = time.monotonic()


def main(arguments: Sequence[str]) -> int:
    """Run, print, and return the exit code: 0 nothing differs, 1 something does, 2 it cannot run, 130 interrupted."""
    try:
        plan, keep = parsed(arguments)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    root = Path(tempfile.mkdtemp(prefix="footfall-chaos-"))
    os.environ["TMPDIR"] = str(root)  # what killed processes leave behind goes with the rest
    say(f"seed {plan.seed}, {plan.seconds:.0f} s of chaos, {f'{plan.nodes} real' if plan.nodes else 'embedded'} broker")
    try:
        kills, found = experiment(plan, root)
    except KeyboardInterrupt:
        shutil.rmtree(root, ignore_errors=True)
        return 130
    if found or keep:
        say(f"logs and data are kept in {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    print(f"kills {kills} differences {len(found)}", flush=True)
    return 1 if found else 0


def experiment(plan: Plan, root: Path) -> tuple[int, Sequence[Difference]]:
    """How many processes were killed, and what differs in the end; an installation that fails altogether differs."""
    kills, found = 0, list[Difference]()
    try:
        with running(root, plan.nodes, say) as stack:
            run = Experiment(plan, stack, say, found)
            try:
                run.run()
            finally:
                kills = stack.kills
                for what, counted in summary(stack, run.faults).items():
                    say(f"{what}: {counted}")
    except Exception as error:  # noqa: BLE001  whatever it was, the last line must tell of it
        if not isinstance(error, FootfallError):
            traceback.print_exc()
        say(str(error))
        found.append(Difference("installation", "failed", str(error), None))
    return kills, found


def say(text: str) -> None:
    """Progress."""
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {text}", flush=True)


def parsed(arguments: Sequence[str]) -> tuple[Plan, bool]:
    """The command line as a plan, and whether to keep the data.

    Raises:
        ConfigurationError: a real broker is asked for and there is no command to start one, or nodes without it; or a
            drill is too short to show anything.

    """
    parser = argparse.ArgumentParser("python -m tests.chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the history and of the faults (%(default)s)")
    parser.add_argument("--seconds", type=float, help=f"of chaos ({SHORT_SECONDS:.0f})")
    parser.add_argument("--long", action="store_true", help=f"{LONG_SECONDS:.0f} s: at least 100 kills")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="of the real Kafka (%(default)s)")
    parser.add_argument("--rate", type=int, default=EVENTS_PER_SECOND, help="events a second (%(default)s)")
    parser.add_argument("--drill", choices=get_args(Drill), help="one kind of trouble: docs/chaos.md")
    parser.add_argument("--keep", action="store_true", help="keep logs and data even where nothing differs")
    given = parser.parse_args(arguments)
    if given.drill == "broker" and given.broker != "kafka":
        raise ConfigurationError("--drill broker needs --broker kafka: the embedded broker keeps its log in memory.")
    if given.broker == "kafka":
        control_command(os.environ)
    elif given.nodes != 1:
        raise ConfigurationError(f"--nodes {given.nodes} needs --broker kafka: the embedded broker is one process.")
    seconds = given.seconds or (LONG_SECONDS if given.long else SHORT_SECONDS)
    if given.drill and seconds < (least := least_seconds(given.drill)):
        raise ConfigurationError(
            f"--drill {given.drill} needs --seconds {least:.0f} or more, to compare before and after."
        )
    nodes = given.nodes if given.broker == "kafka" else 0
    return Plan(given.seed, seconds, nodes, given.rate, given.drill), given.keep


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
