"""Lag and conservation: the ends of the logs, what the groups have committed, and what Redis says was applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.results import BucketClaim
from streams.conservation import OUTCOMES, RECEIVED, Place
from streams.doctor.finding import Finding, listed
from streams.doctor.standing import Standing

_ANEW: Final = "start once with another redis.prefix and `footfall process --rebuild`: it folds what the topics hold"
_SKIP: Final = "to go on without them start once with `footfall process --skip-gap`, which logs and counts them"


def judge_claims(claims: Sequence[BucketClaim], foreign: Sequence[str], committed: Mapping[Place, int]) -> Finding:
    """Whether Redis and Kafka belong to each other. `committed` is what the process group told Kafka."""
    if foreign:
        text = f"Redis remembers topics that are not these: {listed(foreign)}"
        remedy = "a topic was made anew, or the settings pair Redis with another Kafka: point them at the right pair"
        return Finding("fences", "problem", text, remedy)
    claimed = sum(claim.epoch > 0 for claim in claims)
    if not claimed and any(committed.values()):
        text = "Kafka knows how far the group has read, Redis knows nothing: it was emptied, or this is another prefix"
        return Finding("fences", "problem", text, "restore Redis, or check FOOTFALL_REDIS__URL and __PREFIX")
    if claimed < len(claims):
        text = f"{claimed} of {len(claims)} buckets have ever been claimed"
        return Finding("fences", "warning", text, "start `footfall process`; it claims what Kafka assigns to it")
    return Finding("fences", "ok", f"all {len(claims)} buckets are claimed, for the topics there are")


def judge_process(standing: Sequence[Standing], limit: int) -> Finding:
    """How far the process group is behind, by the fences in Redis."""
    beyond = [s.name for s in standing if s.beyond_the_end]
    if beyond:
        text = f"more is applied than the log holds: {listed(beyond)}"
        return Finding("lag of process", "problem", text, f"the log lost its tail or was made anew: {_ANEW}")
    gone = [f"{s.unread_and_gone} of {s.name}" for s in standing if s.unread_and_gone]
    if gone:
        text = f"records were removed before they were read: {listed(gone)}"
        return Finding("lag of process", "problem", text, f"raise retention.ms of the input topics; {_SKIP}")
    return judge_lag("process", sum(s.in_flight for s in standing), limit)


def judge_group(
    role: str, held: Mapping[Place, tuple[int, int]], committed: Mapping[Place, int], limit: int
) -> Finding:
    """How far a group is behind that keeps its place in Kafka; `held` are the logs, [first, end)."""
    unread = sum(max(0, end - max(first, committed.get(tp, 0))) for tp, (first, end) in held.items())
    if unread and not committed:
        text = f"{unread:,} records, and the group has committed nothing yet"
        return Finding(f"lag of {role}", "warning", text, f"start `footfall {role}`")
    return judge_lag(role, unread, limit)


def judge_lag(role: str, records: int, limit: int) -> Finding:
    """So many records are not processed."""
    text = f"{records:,} records"
    if records > limit:
        remedy = f"start more of `footfall {role}`, up to one a partition; its /readyz says what keeps it"
        return Finding(f"lag of {role}", "warning", f"{text}, more than health.max_lag_records ({limit:,})", remedy)
    return Finding(f"lag of {role}", "ok", text)


def judge_conservation(standing: Sequence[Standing]) -> Finding:
    """Received = applied + duplicate + dead-lettered + control, and what was received is what the log held."""
    rows = tuple(s.row for s in standing)
    broken = [f"{s.name}: {_sentence(s)}" for s in standing if s.imbalance]
    broken += [f"{s.name}: {s.counted_twice} records are counted more than once" for s in standing if s.counted_twice]
    if broken:
        remedy = "keep the log and the state as they are and report it; a replay into a new generation counts anew"
        return Finding("conservation", "problem", listed(broken, 3), remedy, rows)
    uncounted = [f"{s.uncounted} of {s.name}" for s in standing if s.uncounted]
    if uncounted:
        text = f"passed and not counted: {listed(uncounted)}"
        remedy = "transactions leave such offsets; where no producer uses them, records were lost: report it"
        return Finding("conservation", "warning", text, remedy, rows)
    return Finding("conservation", "ok", _equation(standing), rows=rows)


def _equation(standing: Sequence[Standing]) -> str:
    sums = {what: sum(s.counts[what] for s in standing) for what in (RECEIVED, *OUTCOMES)}
    parts = " + ".join(f"{sums[what]:,} {what.replace('_', '-')}" for what in OUTCOMES)
    in_flight = sum(s.in_flight for s in standing)
    return f"{sums[RECEIVED]:,} received = {parts}; {in_flight:,} in flight, over {len(standing)} topic-partitions"


def _sentence(standing: Standing) -> str:
    counts = standing.counts
    parts = ", ".join(f"{counts[what]:,} {what.replace('_', '-')}" for what in OUTCOMES)
    return f"{counts[RECEIVED]:,} received, but {parts}"
