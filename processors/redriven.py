"""Which events that were refused, and sent again after a fix, count: each event id once, however long ago it was.

The dedup window ends after some hours of event time; a refused event may be sent again days later, and twice, when a
redrive was cut off or a client's retries each became a letter. So ids of events that came this way are never dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import numpy as np

from processors.dedup import Verdict
from processors.sealed_ids import ENTRY
from schemas.errors import ProtocolError

OUTSIDE_TIME: Final = -1
"""The `event hour` under which a bucket keeps these ids: no event lies before 1970."""


class Redriven:
    """The ids of the redriven events of some buckets, as the store holds them: bucket -> packed entries."""

    def __init__(self, stored: Mapping[int, bytes]) -> None:
        self._known = {bucket: _unpacked(bucket, entries) for bucket, entries in stored.items()}
        self._new: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)

    def check(self, bucket: int, digest: int, checksum: int, verdict: Verdict) -> Verdict:
        """The verdict on a redriven event, given that of the dedup window; an event that counts is remembered."""
        known = self._known[bucket].get(digest)
        if known is not None:
            return "duplicate" if known == checksum else "conflict"
        if verdict in ("new", "unchecked"):
            self._known[bucket][digest] = checksum
            self._new[bucket].append((digest, checksum))
        return verdict

    def additions(self) -> dict[int, bytes]:
        """What the commit of each bucket appends."""
        return {bucket: np.array(ids, ENTRY).tobytes() for bucket, ids in self._new.items()}


def _unpacked(bucket: int, entries: bytes) -> dict[int, int]:
    if len(entries) % ENTRY.itemsize:
        raise ProtocolError(f"the redriven ids of bucket {bucket} are {len(entries)} bytes, not entries of 12")
    return dict(np.frombuffer(entries, ENTRY).tolist())
