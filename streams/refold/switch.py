"""The switch: the live generation stands still, the shadow is brought to it, then the pointer moves.

Workers wait while the lease of the switch is held: what they claim after it was taken they do not use, what they
claimed before is taken from them. If this process dies, the lease runs out and they go on with the live generation.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Final

from processors.dedup import Seen
from schemas.errors import ProtocolError, StaleCommitError
from schemas.partitioning import BUCKETS, buckets_of_partition
from schemas.results import BucketClaim
from schemas.topics import INPUT_TOPICS
from sinks.generations import REPLAY_TOKEN
from sinks.profiles import ProfileStore
from streams.effects import Effects
from streams.ownership import owned_partition
from streams.refold.live import LiveLog
from streams.refold.parts import JobLease, Parts
from streams.slices import Aligner

CLAIMS: Final = 10
"""How often a partition number is claimed before the switch gives up: a worker that waits claims once in 0.05 to 1 s,
and what is published between our claim and our commit takes far less."""


async def freeze(live: ProfileStore, parts: Parts, lease: JobLease) -> LiveLog:
    """Take every bucket from its owner; where the live generation stands from now on.

    What was committed and is not confirmed by Kafka is published here: workers may still claim these buckets, but they
    use no claim while the lease is held.

    Raises:
        ProtocolError: workers claimed a partition number over and over, or the lease was lost; nothing was changed.

    """
    token = REPLAY_TOKEN + os.urandom(8).hex()
    claims = {claim.bucket: claim for claim in await asyncio.to_thread(live.claim, range(BUCKETS), token)}
    effects = Effects(live, parts.publisher, parts.codec)
    for number in parts.layout.numbers():
        own = [claims[bucket] for bucket in buckets_of_partition(number, parts.layout.partitions)]
        for _ in range(CLAIMS):
            try:
                await _publish_what_is_left(effects, number, own, token, parts)
                break
            except StaleCommitError:  # a worker that came or waits has claimed them since
                own = await _claimed_again(live, own, token, lease)
                claims.update((claim.bucket, claim) for claim in own)
        else:
            raise ProtocolError(
                f"Not switched: workers claimed partition number {number} {CLAIMS} times while the switch was at work. "
                "Nothing was changed; run it again when no workers come or go."
            )
    return LiveLog.of(claims.values(), parts.layout)


async def _publish_what_is_left(
    effects: Effects, number: int, claims: Sequence[BucketClaim], token: str, parts: Parts
) -> None:
    aligner = Aligner(INPUT_TOPICS, event_clock=parts.settings.clock == "event")
    owner = owned_partition(number, claims, token, aligner, Seen(parts.settings.batch.dedup_hours))
    await effects.resend(claims, owner)
    await effects.advance_fences([owner])


async def _claimed_again(
    live: ProfileStore, claims: Sequence[BucketClaim], token: str, lease: JobLease
) -> list[BucketClaim]:
    if not await asyncio.to_thread(lease.renew):
        raise ProtocolError(
            "Not switched: the lease of the switch ran out and workers went on with the live generation. Nothing was "
            "changed; run it again when Redis and Kafka are less busy."
        )
    return await asyncio.to_thread(live.claim, [claim.bucket for claim in claims], token)
