"""The switch: the live generation stands still, the shadow is brought to it, then the pointer moves.

Workers wait while the lease of the switch is held: what they claim after it was taken they do not use, what they
claimed before is taken from them. If this process dies, the lease runs out and they go on with the live generation.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from processors.dedup import Seen
from schemas.partitioning import BUCKETS, buckets_of_partition
from schemas.results import BucketClaim
from schemas.topics import INPUT_TOPICS
from sinks.generations import REPLAY_TOKEN
from sinks.profiles import ProfileStore
from streams.effects import Effects
from streams.ownership import owned_partition
from streams.refold.live import LiveLog
from streams.refold.parts import Parts
from streams.slices import Aligner


async def freeze(live: ProfileStore, parts: Parts) -> LiveLog:
    """Take every bucket from its owner; where the live generation stands from now on.

    What was committed and is not confirmed by Kafka is published here: nobody else will claim these buckets again.
    """
    token = REPLAY_TOKEN + os.urandom(8).hex()
    claims = {claim.bucket: claim for claim in await asyncio.to_thread(live.claim, range(BUCKETS), token)}
    effects = Effects(live, parts.publisher, parts.codec)
    for number in parts.layout.numbers():
        own = [claims[bucket] for bucket in buckets_of_partition(number, parts.layout.partitions)]
        await _publish_what_is_left(effects, number, own, token, parts)
    return LiveLog.of(claims.values(), parts.layout)


async def _publish_what_is_left(
    effects: Effects, number: int, claims: Sequence[BucketClaim], token: str, parts: Parts
) -> None:
    aligner = Aligner(INPUT_TOPICS, event_clock=parts.settings.clock == "event")
    owner = owned_partition(number, claims, token, aligner, Seen(parts.settings.batch.dedup_hours))
    await effects.resend(claims, owner)
    await effects.advance_fences([owner])
