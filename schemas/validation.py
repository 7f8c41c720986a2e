"""The contract of an event beyond its Avro types: which values are refused, and why.

Checks run on whole Arrow columns; only a column that holds a bad value is looked through row by row. The first
fault of a record is its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import Columns
from schemas.events import Misdated
from schemas.reasons import Reason
from schemas.topics import APP, CLICKSTREAM, EVENT_NAMES, FEEDBACK, IDENTITY, PURCHASE, SOCIAL

Rate = Fraction | tuple[int, int]
Faults = dict[int, tuple[Reason, str]]
"""Position in the batch -> reason and detail of its first fault."""
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SKEW_MS: Final = 300_000
"""An event this much later than its receipt is counted as clamped: the sender's clock is wrong."""
TOO_LATE_MS: Final = 90 * 86_400_000
"""An event so much older than its receipt counts as too late: the longest window is over."""
END_OF_TIME: Final = 4_102_444_800_000
"""2100-01-01, ms: later instants are seconds taken for ms, ns, or noise."""
MAX_MONEY: Final = 10**12
MAX_ID_BYTES: Final = 256
_MAX_MS: Final = 10**12

RANGES: Final[Mapping[str, Mapping[str, tuple[float, float]]]] = {
    CLICKSTREAM: {"dwell_ms": (0, _MAX_MS), "price": (0, MAX_MONEY)},
    PURCHASE: {"revenue": (0, MAX_MONEY), "discount": (0, MAX_MONEY), "cost": (0, MAX_MONEY)},
    APP: {"duration_ms": (0, _MAX_MS), "lat": (-90.0, 90.0), "lon": (-180.0, 180.0)},
    SOCIAL: {"sentiment": (-1.0, 1.0)},
    FEEDBACK: {"score": (0, 10)},
    IDENTITY: {"age": (0, 150)},
}
ITEM_RANGES: Final = {"quantity": (0, 10**6), "price": (0, MAX_MONEY)}
SURVEYS: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
IDS: Final[Mapping[str, tuple[str, ...]]] = {
    PURCHASE: ("order_id",),
    SOCIAL: ("referred_customer_id",),
    FEEDBACK: ("order_id",),
    IDENTITY: ("previous_id",),
}
_NAMES: Final = {topic: frozenset(names) for topic, names in EVENT_NAMES.items()}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ContractRules:
    """How records are read and judged.

    `rates` maps a currency to how many minor units of `base_currency` one of its minor units is worth, as a
    Fraction or (numerator, denominator). `columnar` False decodes row by row. `clamp_to_append` (wall clock)
    distrusts a received_time more than 5 min after the record's append time.
    """

    base_currency: str = "USD"
    rates: Mapping[str, Rate] = field(default_factory=dict)
    columnar: bool = True
    clamp_to_append: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    """Event and received times after clamping, ms, and which rows count as clamped or as too late."""

    event: Longs
    received: Longs
    clamped: Flags
    too_late: Flags

    def keep(self, positions: list[int]) -> Times:
        """Only these rows, in this order."""
        kept = self.event[positions], self.received[positions], self.clamped[positions], self.too_late[positions]
        return Times(*kept)

    @property
    def misdated(self) -> Misdated:
        """How many count as what."""
        return Misdated(int(self.clamped.sum()), int(self.too_late.sum()))


def clamp(event: Longs, received: Longs, append: Longs | None) -> Times:
    """No event lies after its receipt. With `append` times, a receipt more than 5 min after them becomes them."""
    clamped = np.zeros(len(event), dtype=np.bool_)
    if append is not None:
        distrusted = received > append + SKEW_MS
        clamped = distrusted & (event > append)
        received = np.where(distrusted, append, received)
    bounded = np.minimum(received, END_OF_TIME)  # received itself may be so large that adding overflows
    clamped |= event > bounded + SKEW_MS
    too_late = event < np.maximum(received, 0) - TOO_LATE_MS
    return Times(np.minimum(event, received), received, clamped, too_late)


def faults_of(topic: str, columns: Columns, times: Times, keys: Sequence[bytes | None], rules: ContractRules) -> Faults:
    """The first fault of every bad row. Converts money to the base currency in `columns` on the way."""
    faults: Faults = {}
    names = columns.values("name")
    _check_ids(columns, ("event_id", "customer_id"), faults)
    _check_names(topic, names, faults)
    _check_times(times, faults)
    _check_keys(columns.values("customer_id"), keys, faults)
    _check_ids(columns, IDS.get(topic, ()), faults)
    for name, bounds in RANGES[topic].items():
        _check_range(columns.array(name), bounds, name, faults)
    if topic == PURCHASE:
        _check_items(columns.array("items"), faults)
        _check_orders(names, columns, faults)
        _convert(columns, rules, faults)
    if topic == FEEDBACK and "survey_answered" in names:
        _check_surveys(names, columns, faults)
    return faults


def partition_check(
    customer_ids: Iterable[str], partition: int, partitions: int, bucket_of: Callable[[str], int]
) -> list[int]:
    """Positions of the customers whose bucket is not of this partition. `bucket_of` is the caller's cache."""
    return [i for i, customer in enumerate(customer_ids) if bucket_of(customer) % partitions != partition]


def converted(amount: int, rate: Rate) -> int:
    """An amount in another currency's minor units, rounded half to even in integers."""
    top, bottom = (rate.numerator, rate.denominator) if isinstance(rate, Fraction) else rate
    whole, rest = divmod(amount * top, bottom)
    return whole + (2 * rest > bottom or (2 * rest == bottom and whole % 2 == 1))


def shortened(value: object) -> str:
    """A value as it stands in a detail: 80 characters at most, without control characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_ids(columns: Columns, names: Iterable[str], faults: Faults) -> None:
    for name in names:
        array = columns.array(name)
        if array is None or not _may_hold_bad_id(array):
            continue
        for position, value in enumerate(array.to_pylist()):
            if value is not None and _is_bad_id(value):
                rule = f"is not 1 to {MAX_ID_BYTES} bytes without control characters"
                faults.setdefault(position, ("invalid_field", f"{name}: {shortened(value)} {rule}"))


def _may_hold_bad_id(array: Any) -> bool:
    """Looks at all bytes of the column at once; 0xC2 begins the control characters U+0080 to U+009F, among others."""
    if array.null_count == len(array):
        return False
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    lengths = bounds[1:] - bounds[:-1]
    if lengths.max() > MAX_ID_BYTES or (lengths.min() < 1 and _has_empty(array)):
        return True
    text = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    return bool(text.min() < 0x20) or bool(text.max() >= 0x7F and ((text == 0x7F) | (text == 0xC2)).any())


def _has_empty(array: Any) -> bool:
    """Whether a value is empty; a null takes no bytes either."""
    return array.null_count == 0 or bool(pc.min(pc.binary_length(array)).as_py() == 0)


def _is_bad_id(value: str) -> bool:
    return not 1 <= len(value.encode()) <= MAX_ID_BYTES or _CONTROL.search(value) is not None


def _check_names(topic: str, names: list[str], faults: Faults) -> None:
    if set(names) <= _NAMES[topic]:
        return
    for position, name in enumerate(names):
        if name not in _NAMES[topic]:
            detail = f"name: {shortened(name)} is not an event of the topic {topic}"
            faults.setdefault(position, ("unknown_name", detail))


def _check_times(times: Times, faults: Faults) -> None:
    for name, column in (("event_time", times.event), ("received_time", times.received)):
        if column.min() >= 0 and column.max() < END_OF_TIME:
            continue
        for position in np.flatnonzero((column < 0) | (column >= END_OF_TIME)).tolist():
            rule = "is not between 1970-01-01 and 2100-01-01 in ms since the epoch"
            faults.setdefault(position, ("invalid_field", f"{name}: {int(column[position])} {rule}"))


def _check_keys(customers: list[str], keys: Sequence[bytes | None], faults: Faults) -> None:
    wanted = list(map(str.encode, customers))
    if wanted == keys:
        return
    for position, (customer, key) in enumerate(zip(wanted, keys, strict=True)):
        if customer != key:
            detail = f"key: {shortened(key)} is not the customer_id {shortened(customers[position])}"
            faults.setdefault(position, ("wrong_partition", detail))


def _check_range(array: Any, bounds: tuple[float, float], name: str, faults: Faults) -> None:
    if array is None or array.null_count == len(array):
        return
    for position in _outside(array, bounds):
        faults.setdefault(position, ("invalid_field", _range_detail(name, array[position].as_py(), bounds)))


def _check_items(array: Any, faults: Faults) -> None:
    lines = None if array is None else array.flatten()
    if lines is None or len(lines) == 0:
        return
    for name, bounds in ITEM_RANGES.items():
        column = pc.struct_field(lines, name)
        for line in _outside(column, bounds):
            position = pc.list_parent_indices(array)[line].as_py()
            detail = _range_detail(f"items[].{name}", column[line].as_py(), bounds)
            faults.setdefault(position, ("invalid_field", detail))


def _outside(array: Any, bounds: tuple[float, float]) -> list[int]:
    """Positions outside [low, high]; NaN is outside, null is not."""
    if len(array) == 0 or _all_inside(array, bounds):
        return []
    low, high = (pa.scalar(bound, array.type) for bound in bounds)
    inside = pc.and_(pc.greater_equal(array, low), pc.less_equal(array, high))
    flags: Flags = inside.fill_null(True).to_numpy(zero_copy_only=False)  # noqa: FBT003 - pyarrow's only form
    positions: list[int] = np.flatnonzero(~flags).tolist()
    return positions


def _all_inside(array: Any, bounds: tuple[float, float]) -> bool:
    """Looks at the raw buffer, whatever stands under nulls: True is certain, False calls for the exact look."""
    raw = np.frombuffer(array.buffers()[1], np.float64 if pa.types.is_floating(array.type) else np.int64)
    values = raw[array.offset : array.offset + len(array)]
    return bool(values.min() >= bounds[0]) and bool(values.max() <= bounds[1])


def _range_detail(name: str, value: object, bounds: tuple[float, float]) -> str:
    return f"{name}: {shortened(value)} is not between {bounds[0]} and {bounds[1]}"


def _check_orders(names: list[str], columns: Columns, faults: Faults) -> None:
    array = columns.array("order_id")
    if array is not None and array.null_count == 0:
        return
    for position, (name, order_id) in enumerate(zip(names, columns.values("order_id"), strict=True)):
        if order_id is None and name == "order_completed":
            faults.setdefault(position, ("invalid_field", "order_id: null, but order_completed needs one"))


def _check_surveys(names: list[str], columns: Columns, faults: Faults) -> None:
    answers = zip(names, columns.values("survey"), columns.values("score"), strict=True)
    for position, (name, survey, score) in enumerate(answers):
        if name != "survey_answered":
            continue
        if survey is None or score is None:
            missing = "survey" if survey is None else "score"
            faults.setdefault(position, ("invalid_field", f"{missing}: null, but survey_answered needs one"))
        elif not SURVEYS[survey][0] <= score <= SURVEYS[survey][1]:
            detail = _range_detail(f"score of {survey}", score, SURVEYS[survey])
            faults.setdefault(position, ("invalid_field", detail))


def _convert(columns: Columns, rules: ContractRules, faults: Faults) -> None:
    currencies = columns.values("currency")
    if set(currencies) <= {rules.base_currency}:
        return
    money = {name: columns.values(name) for name in (*RANGES[PURCHASE], "items")}
    for position, currency in enumerate(currencies):
        if currency == rules.base_currency or position in faults:
            continue
        rate = rules.rates.get(currency)
        if rate is None:
            detail = f"currency: {shortened(currency)} has no rate to {rules.base_currency} in the settings"
            faults[position] = ("unknown_currency", detail)
        else:
            _convert_row(money, position, rate, faults)
    for name, values in money.items():
        columns.replace(name, values)


def _convert_row(money: dict[str, list[Any]], position: int, rate: Rate, faults: Faults) -> None:
    for name in RANGES[PURCHASE]:
        amount = money[name][position]
        if amount is not None:
            money[name][position] = converted(amount, rate)
            if money[name][position] > MAX_MONEY:
                detail = _range_detail(f"{name} in the base currency", money[name][position], (0, MAX_MONEY))
                faults.setdefault(position, ("invalid_field", detail))
    money["items"][position] = [line | {"price": converted(line["price"], rate)} for line in money["items"][position]]
