"""Decoded columns: Arrow arrays that become Python lists one by one, when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

REPEATED: Final = frozenset({"customer_id", "name", "channel", "category"})
"""Columns of texts that come again and again."""
_WORTH_IT: Final = 64
"""Rows from which looking for repetitions is cheaper than making every text anew."""


class Columns:
    """Equally long columns by name, in the reader's shape.

    `parts` are record batches that follow each other; `defaults` holds what a column that no part has stands for.
    """

    def __init__(self, parts: Sequence[Any], defaults: Mapping[str, Any]) -> None:
        self._parts = parts
        self._defaults = defaults
        self._made: dict[str, list[Any]] = {}
        self._arrays: dict[str, Any] = {}
        self._kept: npt.NDArray[np.int64] | None = None
        self._length: int = sum(part.num_rows for part in parts)

    def __len__(self) -> int:
        return self._length

    def array(self, name: str) -> Any:
        """The Arrow array of a column, or None for a column of defaults. Raises KeyError for an unknown name."""
        if name in self._defaults:
            return None
        array = self._arrays.get(name)
        if array is None:
            arrays = [part.column(name) for part in self._parts]
            array = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
            array = self._arrays[name] = array if self._kept is None else array.take(pa.array(self._kept))
        return array

    def values(self, name: str) -> list[Any]:
        """A column as Python values; maps are dicts. Raises KeyError for an unknown name."""
        values = self._made.get(name)
        if values is None:
            values = self._made[name] = self._make(name)
        return values

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """A column of longs without nulls."""
        values: npt.NDArray[np.int64] = self.array(name).to_numpy()
        return values

    def replace(self, name: str, values: list[Any]) -> None:
        """Put other values in a column's place."""
        self._made[name] = values

    def keep(self, positions: list[int]) -> None:
        """Drop every row but these, in this order."""
        chosen = np.asarray(positions, dtype=np.int64)
        self._kept = chosen if self._kept is None else self._kept[chosen]
        self._arrays.clear()
        self._made = {name: [values[i] for i in positions] for name, values in self._made.items()}
        self._length = len(positions)

    def _make(self, name: str) -> list[Any]:
        array = self.array(name)
        if array is None:
            return [copy(self._defaults[name]) for _ in range(self._length)]
        if name in REPEATED and len(array) >= _WORTH_IT:
            return _repeated(array)
        values: list[Any] = array.to_pylist()
        return [dict(pairs) for pairs in values] if pa.types.is_map(array.type) else values


def _repeated(array: Any) -> list[Any]:
    """The values of a column of texts; equal ones are one object: less memory, and found at once as a key later."""
    encoded = array.dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    places = encoded.indices.fill_null(len(texts) - 1).to_numpy().tolist()
    return [texts[place] for place in places]
