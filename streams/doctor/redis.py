"""Redis: whether it answers, keeps what it was given, and whose keys lie under the prefix."""

from __future__ import annotations

from typing import Final

import redis

from sinks.installation import NOEVICTION, OLDEST, ServerReport, describe_server, installation_of
from streams.doctor.finding import Finding

FULL: Final = 0.9
"""Share of `maxmemory` from which a full Redis is near: then it refuses commits and the workers wait."""


def check_redis(client: redis.Redis, prefix: str, installation: str, address: str) -> list[Finding]:
    """Version, owner, memory and durability. Raises UnreachableError when it does not answer."""
    report = describe_server(client)
    owner = installation_of(client, prefix)
    return [
        judge_server(report, owner, installation, address),
        judge_memory(report),
        judge_durability(report),
    ]


def judge_server(report: ServerReport, owner: str | None, installation: str, address: str) -> Finding:
    """Its version, and that the keys are ours."""
    if report.old:
        text = f"{address} is version {report.version}"
        return Finding("redis", "problem", text, f"use {OLDEST} or newer, or Valkey")
    if owner is not None and owner != installation:
        text = f"the keys at {address} belong to the installation {owner}, this is {installation}"
        return Finding("redis", "problem", text, "choose another FOOTFALL_REDIS__PREFIX or another Redis")
    return Finding("redis", "ok", f"version {report.version} answers at {address}")


def judge_memory(report: ServerReport) -> Finding:
    """What it does when it is full, and how full it is."""
    used = f"{report.used_memory >> 20} MiB used"
    if report.memory_policy != NOEVICTION:
        text = f"maxmemory-policy is {report.memory_policy}: a full Redis would throw profiles away"
        remedy = f"CONFIG SET maxmemory-policy {NOEVICTION}, and in its configuration file"
        return Finding("redis memory", "problem", text, remedy)
    if report.max_memory and report.used_memory > FULL * report.max_memory:
        text = f"{used} of {report.max_memory >> 20} MiB: soon it refuses commits, and the workers wait"
        return Finding("redis memory", "warning", text, "raise maxmemory, or give it a larger machine")
    bound = f"of {report.max_memory >> 20} MiB" if report.max_memory else "without a limit"
    return Finding("redis memory", "ok", f"{NOEVICTION}, {used} {bound}")


def judge_durability(report: ServerReport) -> Finding:
    """Whether a crash of Redis can forget what it has confirmed."""
    if report.durable_before_answer:
        return Finding("redis durability", "ok", "appendfsync always")
    text = f"appendfsync is {report.appendfsync}: after a crash of Redis aggregates stay exact, but a change that was "
    text += "published may be published again with other content"
    return Finding("redis durability", "warning", text, "set appendonly yes and appendfsync always")
