"""Event ids of past hours as sorted arrays: 12 bytes an id, searched a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Digests = NDArray[np.uint64]

ENTRY: Final = np.dtype([("digest", "<u8"), ("checksum", "<u4")])
"""An id as it is stored: 12 bytes."""

Run = tuple[Digests, NDArray[np.uint32]]


class SealedIds:
    """Sorted runs of (digest, checksum) per event hour. Runs of similar size merge, so an hour has few of them."""

    def __init__(self) -> None:
        self._runs: dict[int, list[Run]] = {}

    def __len__(self) -> int:
        return sum(len(digests) for runs in self._runs.values() for digests, _ in runs)

    @property
    def hours(self) -> list[int]:
        """The hours that have ids, oldest first."""
        return sorted(self._runs)

    def add(self, hour: int, digests: Digests, checksums: NDArray[np.uint32]) -> None:
        """Keep ids of one hour, in any order."""
        runs = self._runs.setdefault(hour, [])
        runs.append(_sorted_run(digests, checksums))
        while len(runs) > 1 and len(runs[-2][0]) < 2 * len(runs[-1][0]):
            later, earlier = runs.pop(), runs.pop()
            runs.append(_sorted_run(np.concatenate((earlier[0], later[0])), np.concatenate((earlier[1], later[1]))))

    def drop(self, hour: int) -> None:
        """Forget an hour."""
        self._runs.pop(hour, None)

    def find(self, hours: Ints, digests: Digests) -> dict[int, list[int]]:
        """Position in the batch -> `hour << 32 | checksum` of every equal id within an hour of its own."""
        found: dict[int, list[int]] = {}
        if not self._runs or not len(hours):
            return found
        held: Sequence[int] = [hour for hour in self._runs if hours.min() - 1 <= hour <= hours.max() + 1]
        for hour in held:
            asked = np.flatnonzero(np.abs(hours - hour) <= 1)
            wanted = digests[asked]
            for run, checksums in self._runs[hour] if len(asked) else ():
                places = np.minimum(np.searchsorted(run, wanted), len(run) - 1)
                for i in np.flatnonzero(run[places] == wanted).tolist():
                    found.setdefault(int(asked[i]), []).append(hour << 32 | int(checksums[places[i]]))
        return found


def _sorted_run(digests: Digests, checksums: NDArray[np.uint32]) -> Run:
    order = np.argsort(digests, kind="stable")
    return digests[order], checksums[order]
