"""A strict walk over Avro bytes that names the field where they stop being Avro.

fastavro is lenient: it takes union or enum index -1 for the last one, any byte but 1 for false, and varints of any
length. A corrupt record could pass with wrong values, so the row path has every doubtful record walked.
"""

from __future__ import annotations

from typing import Any, Final

_FIXED_BYTES: Final = {"null": 0, "float": 4, "double": 8}
_VARINT_BYTES: Final = 10


class WireError(ValueError):
    """The bytes are not what the schema says; the message names the field."""


def walk(schema: Any, body: bytes) -> int:
    """The bytes that one datum of the schema takes at the start of `body`. Raises WireError when it is not one."""
    walker = _Walker(body)
    walker.datum(schema, "")
    return walker.position


class _Walker:
    def __init__(self, body: bytes) -> None:
        self.position = 0
        self._body = body
        self._named: dict[str, Any] = {}

    def datum(self, schema: Any, field: str) -> None:
        if isinstance(schema, list):
            self.datum(schema[self._index(len(schema), "union", field)], field)
            return
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(schema, dict) and "name" in schema:
            self._remember(schema)
        if isinstance(kind, dict | list):
            self.datum(kind, field)
        elif kind in self._named and isinstance(schema, str):
            self.datum(self._named[kind], field)
        else:
            self._plain(kind, schema, field)

    def _plain(self, kind: str, schema: Any, field: str) -> None:
        if kind in _FIXED_BYTES:
            self._skip(_FIXED_BYTES[kind], field)
        elif kind in {"int", "long"}:
            self._long(field)
        elif kind in {"string", "bytes"}:
            self._text(kind, field)
        elif kind == "boolean":
            if self._byte(field) > 1:
                raise WireError(f"{field}: a boolean is byte 0 or 1")
        elif kind == "enum":
            self._index(len(schema["symbols"]), "enum", field)
        elif kind == "fixed":
            self._skip(schema["size"], field)
        elif kind == "record":
            for inner in schema["fields"]:
                self.datum(inner["type"], f"{field}.{inner['name']}".lstrip("."))
        else:
            self._blocks(kind, schema, field)

    def _blocks(self, kind: str, schema: Any, field: str) -> None:
        while count := self._long(field):
            if count < 0:
                self._long(field)  # the block's size in bytes
            for _ in range(abs(count)):
                if kind == "map":
                    self._text("string", f"{field} key")
                self.datum(schema["values"] if kind == "map" else schema["items"], f"{field}[]")

    def _text(self, kind: str, field: str) -> None:
        begin = self._skip(self._long(field), field)
        if kind == "string":
            try:
                self._body[begin : self.position].decode()
            except UnicodeDecodeError as error:
                raise WireError(f"{field}: not UTF-8 ({error.reason})") from None

    def _index(self, count: int, kind: str, field: str) -> int:
        index = self._long(field)
        if not 0 <= index < count:
            raise WireError(f"{field}: {kind} index {index} is not 0 to {count - 1}")
        return index

    def _long(self, field: str) -> int:
        number = 0
        for shift in range(0, 7 * _VARINT_BYTES, 7):
            byte = self._byte(field)
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise WireError(f"{field}: a number takes {_VARINT_BYTES} bytes at most")
        return (number >> 1) ^ -(number & 1)

    def _byte(self, field: str) -> int:
        return self._body[self._skip(1, field)]

    def _skip(self, count: int, field: str) -> int:
        begin = self.position
        if not 0 <= count <= len(self._body) - begin:
            raise WireError(f"{field}: {count} bytes wanted, {len(self._body) - begin} are left")
        self.position += count
        return begin

    def _remember(self, schema: dict[str, Any]) -> None:
        self._named[schema["name"]] = schema
        if "namespace" in schema:
            self._named[f"{schema['namespace']}.{schema['name']}"] = schema
