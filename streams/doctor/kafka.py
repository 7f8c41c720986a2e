"""Kafka: whether it answers, and whether its topics are as Footfall needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.topics import INPUT_TOPICS
from streams.doctor.finding import Finding, listed
from streams.kafka.topics import CREATE_COMMAND, Topics, TopicSpec

_TIMESTAMPS: Final = "message.timestamp.type"
_CLEANUP: Final = "cleanup.policy"
_SIZE: Final = "max.message.bytes"


def check_kafka(topics: Topics, address: str) -> list[Finding]:
    """Whether a broker answers. Raises UnreachableError when none does."""
    return [Finding("kafka", "ok", f"answers at {address}, {len(topics.partition_counts())} topics")]


def check_topics(topics: Topics, specs: Sequence[TopicSpec]) -> list[Finding]:
    """Existence and partitions of every topic, then the options of those that exist."""
    counts = topics.partition_counts()
    existing = [spec for spec in specs if spec.name in counts]
    finding = judge_counts(counts, specs)
    if not existing:
        return [finding]
    return [finding, judge_options(topics.options([spec.name for spec in existing]), existing)]


def judge_counts(counts: Mapping[str, int], specs: Sequence[TopicSpec]) -> Finding:
    """Topic -> partitions, against what is wanted."""
    missing = [spec.name for spec in specs if spec.name not in counts]
    if missing:
        return Finding("topics", "problem", f"missing: {', '.join(missing)}", f"run `{CREATE_COMMAND}`")
    other = [
        f"{s.name} has {counts[s.name]} instead of {s.partitions}" for s in specs if counts[s.name] != s.partitions
    ]
    if other:
        remedy = "set kafka.partitions to what the input topics have, or drain them and create them anew"
        return Finding("topics", "problem", f"partitions: {listed(other)}", remedy)
    inputs = next(spec.partitions for spec in specs if spec.name in INPUT_TOPICS)
    return Finding("topics", "ok", f"all {len(specs)} exist, the inputs with {inputs} partitions")


def judge_options(options: Mapping[str, Mapping[str, str]], specs: Sequence[TopicSpec]) -> Finding:
    """Topic -> option -> value as the broker tells them, against what is wanted."""
    compacted = [s.name for s in specs if _CLEANUP not in s.options and "compact" in _told(options, s, _CLEANUP)]
    if compacted:
        remedy = f"set {_CLEANUP}=delete: compaction removes events that were not read"
        return Finding("topic options", "problem", f"compacted: {', '.join(compacted)}", remedy)
    wrong = [fault for spec in specs for fault in _faults(options, spec)]
    if wrong:
        remedy = "alter them with kafka-configs; ticks wait for the end of the log without LogAppendTime"
        return Finding("topic options", "warning", listed(wrong), remedy)
    silent = [s.name for s in specs if _TIMESTAMPS in s.options and not _told(options, s, _TIMESTAMPS)]
    if silent:
        remedy = f"make sure that {_TIMESTAMPS} is LogAppendTime on the input topics"
        return Finding("topic options", "warning", f"the broker does not tell those of {listed(silent)}", remedy)
    return Finding("topic options", "ok", "input topics carry LogAppendTime, outputs are compacted where they must be")


def _faults(options: Mapping[str, Mapping[str, str]], spec: TopicSpec) -> list[str]:
    """Options that differ; one the broker does not tell is none. Sizes may be larger than asked for."""
    faults = []
    for name, wanted in spec.options.items():
        told = _told(options, spec, name)
        if name == _SIZE:
            fits = not told or int(told) >= int(wanted)
        else:
            fits = not told or told == wanted or (name == _CLEANUP and wanted in told) or name.startswith("retention")
        if not fits:
            faults.append(f"{spec.name} has {name}={told} instead of {wanted}")
    return faults


def _told(options: Mapping[str, Mapping[str, str]], spec: TopicSpec, name: str) -> str:
    return options.get(spec.name, {}).get(name, "")
