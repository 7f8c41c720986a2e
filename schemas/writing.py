"""Records of the result topics, field by field: what fastavro makes of them, in a tenth of the time once compiled.

The order is that of the fields in `schemas/avro`; tests hold the two equal.
"""

from __future__ import annotations

from librt.strings import BytesWriter, write_f64_le
from mypy_extensions import i64

from schemas.results import ProfileUpdate, SegmentChange, TrainingExample


def write_long(out: BytesWriter, number: i64) -> None:
    """An Avro long: zigzag, then 7 bits a byte, least significant first."""
    rest = number << 1
    if number < 0:
        rest = ~rest
    while rest > 0x7F or rest < 0:
        out.append(rest & 0x7F | 0x80)
        rest = rest >> 7 & 0x01FF_FFFF_FFFF_FFFF
    out.append(rest)


def write_text(out: BytesWriter, text: str) -> None:
    """An Avro string."""
    write_bytes(out, text.encode())


def write_bytes(out: BytesWriter, body: bytes) -> None:
    """An Avro string that is UTF-8 already, or bytes."""
    write_long(out, len(body))
    out.write(body)


def write_optional(out: BytesWriter, text: str | None) -> None:
    """A union of null and string."""
    if text is None:
        out.append(0)
    else:
        out.append(2)
        write_text(out, text)


def write_optional_double(out: BytesWriter, number: float | None) -> None:
    """A union of null and double."""
    if number is None:
        out.append(0)
    else:
        out.append(2)
        write_f64_le(out, number)


def change_record(header: bytes, change: SegmentChange) -> bytes:
    """A record of `segment-changes` under its Confluent header."""
    out = BytesWriter()
    out.write(header)
    write_text(out, change.change_id)
    write_text(out, change.customer_id)
    write_long(out, change.sequence)
    write_text(out, change.driver)
    write_text(out, change.segment)
    write_optional(out, change.group)
    write_optional(out, change.from_segment)
    write_optional(out, change.to_segment)
    out.append(0 if change.direction == "entered" else 2)
    write_long(out, change.effective_time)
    write_text(out, change.cause)
    _write_evidence(out, change.evidence)
    write_optional_double(out, change.churn_probability)
    write_optional(out, change.suggested_action)
    write_text(out, change.rule_version)
    return out.getvalue()


def example_record(header: bytes, example: TrainingExample) -> bytes:
    """A record of `training-examples` under its Confluent header."""
    out = BytesWriter()
    out.write(header)
    write_text(out, example.example_id)
    write_text(out, example.customer_id)
    write_long(out, example.snapshot_time)
    write_long(out, example.label_time)
    write_long(out, example.label)
    _write_features(out, example.features)
    write_optional_double(out, example.probability)
    version = example.model_version
    if version is None:
        out.append(0)
    else:
        out.append(2)
        write_long(out, version)
    write_f64_le(out, example.rule_probability)
    return out.getvalue()


def update_record(header: bytes, update: ProfileUpdate) -> bytes:
    """A record of `profiles` under its Confluent header."""
    out = BytesWriter()
    out.write(header)
    write_text(out, update.customer_id)
    write_long(out, update.version)
    write_long(out, update.as_of)
    write_bytes(out, update.traits)
    return out.getvalue()


def _write_evidence(out: BytesWriter, evidence: dict[str, str]) -> None:
    write_long(out, len(evidence))
    for name, text in evidence.items():
        write_text(out, name)
        write_text(out, text)
    if evidence:
        out.append(0)


def _write_features(out: BytesWriter, features: dict[str, float]) -> None:
    write_long(out, len(features))
    for name, x in features.items():
        write_text(out, name)
        write_f64_le(out, x)
    if features:
        out.append(0)
