"""What each stage of a profile's way keeps in memory when it is done again and again: run where the fold is compiled.

Compiled code frees its own objects: one that it forgets, of each profile read from Redis, is gigabytes in a day.
The C library is asked what it has given out, so it must give out all: PYTHONMALLOC=malloc.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator

from processors.batch_scores import score
from processors.calendar import DAY
from processors.churn import Snapshot
from processors.fold import Outcome, Policy, advance
from processors.portrait import encode_portrait
from processors.state import decode_state, encode_state
from streams.environment import policy_of
from streams.settings import load_settings
from tests.folded_history import START, events, folded, gathered, history, records

ROUNDS = 40


class _MallInfo(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def stages(policy: Policy) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """Name of each, how many things it takes, and the stage itself."""
    made, said = events(), Outcome()
    profiles = folded(made, policy, said)
    everybody, scorers = list(profiles.values()), history()
    for p in everybody[::3]:
        advance(p, p.last_seen + 31 * DAY, policy, said)
    score(everybody, said, scorers, policy)
    states = [(p.customer, encode_state(p)) for p in everybody]
    taken = [Snapshot(p.pending, p.as_of) for p in everybody if p.pending is not None]
    assert len(taken) > len(everybody) // 10
    assert {p.score.model_version for p in everybody if p.score} == {0, 1}

    def load() -> None:
        for customer, state in states:
            advance(decode_state(customer, 1, state, policy.calendar, policy.limits), START, policy, Outcome())

    yield "load", len(everybody), load
    yield "fold", len(made), lambda: folded(made, policy, Outcome())
    yield "score", len(everybody), lambda: score(everybody, Outcome(snapshots=taken[:]), scorers, policy)
    yield "encode", len(everybody), lambda: [(encode_state(p), encode_portrait(p)) for p in everybody]
    yield "records", len(everybody), lambda: list(records(said, everybody))
    yield "gather", len(made), lambda: gathered(profiles)


def kept(n: int, stage: Callable[[], object]) -> float:
    """Bytes that stay of each thing, on average."""
    rounds = max(2, ROUNDS * 300 // n)
    for _ in range(rounds):
        stage()
    before = _given_out()
    for _ in range(rounds):
        stage()
    return (_given_out() - before) / (n * rounds)


def _given_out() -> int:
    """Bytes in use."""
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _MallInfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


if __name__ == "__main__":
    for name, n, stage in stages(policy_of(load_settings())):
        print(name, f"{kept(n, stage):.1f}", flush=True)
