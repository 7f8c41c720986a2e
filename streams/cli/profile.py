"""`footfall profile show ID`: one customer as a card, advanced to now; reads Redis and writes nothing."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

import orjson

from processors.explain import explain
from processors.fold import Outcome, Policy, advance
from processors.portrait import portrait
from processors.profile import Profile
from processors.state import decode_state
from schemas.errors import CodecVersionError, ConfigurationError
from schemas.partitioning import bucket_of
from sinks.installation import live_generation
from sinks.profiles import ProfileStore
from streams.cli.console import fail, out
from streams.cli.plain import plain
from streams.cli.profile_card import Card
from streams.clients import connected_redis
from streams.environment import policy_of
from streams.settings import Settings

UNKNOWN: Final = 2
"""Exit code for a customer nobody has seen."""


def show(settings: Settings, customer_id: str, *, as_json: bool) -> int:
    """Print a customer's card, or the traits as JSON. Returns 0, or 2 for an unknown customer.

    Raises:
        UnreachableError: Redis does not answer.
        ConfigurationError: the segments file is wrong, or Redis holds what this release cannot read.

    """
    policy = policy_of(settings)
    found = _read(settings, policy, customer_id)
    if found is None:
        fail(f"There is no customer {plain(customer_id)!r} in Redis at {settings.redis.address}.")
        return UNKNOWN
    profile, now = found
    advance(profile, now, policy, Outcome())
    if as_json:
        print(orjson.dumps(portrait(profile), option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2).decode())
    else:
        explanations = explain(profile, policy.rules, policy.calendar)
        out.print(Card(portrait(profile), explanations, settings.zone, settings.base_currency).draw(profile.customer))
    return 0


def _read(settings: Settings, policy: Policy, customer_id: str) -> tuple[Profile, int] | None:
    """The stored profile and the instant (ms) that is now for it."""
    prefix, bucket = settings.redis.prefix, bucket_of(customer_id)
    with closing(connected_redis(settings)) as client:
        store = ProfileStore(client, prefix, live_generation(client, prefix))
        [stored] = store.read([(bucket, customer_id)])
        reached = store.clock(bucket % settings.kafka.partitions) if settings.clock == "event" else None
    if stored is None:
        return None
    if stored == "wrong_type":
        raise ConfigurationError(
            f"Redis at {settings.redis.address} holds something that is no profile under the key of "
            f"{plain(customer_id)!r}: another program wrote under the prefix {prefix!r}."
        )
    try:
        profile = decode_state(customer_id, stored.version, stored.state, policy.calendar, policy.limits)
    except CodecVersionError as error:
        raise ConfigurationError(f"The profile cannot be read: {error}.") from error
    except Exception as error:  # damaged bytes raise whatever they lead to
        raise ConfigurationError(
            f"The stored state of {plain(customer_id)!r} in Redis at {settings.redis.address} is damaged: see "
            "`footfall replay-topic`, which finds such profiles and can repair them."
        ) from error
    return profile, _now(profile, settings, reached)


def _now(profile: Profile, settings: Settings, reached: int | None) -> int:
    """The wall clock's time, or how far a replay has come on the event clock."""
    if settings.clock == "wall":
        return int(time.time() * 1000)
    return max(profile.as_of, reached or 0)
