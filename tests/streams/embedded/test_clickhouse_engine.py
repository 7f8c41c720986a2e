"""Where an INSERT's data begins: the one piece of SQL that the HTTP layer has to read."""

from __future__ import annotations

import pytest

from streams.embedded.clickhouse_engine import split_insert


@pytest.mark.parametrize(
    ("text", "head", "tail", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x00\n\x01", b"INSERT INTO t ", b"FORMAT Native", b"\x00\n\x01"),
        (b"insert into t (a, b) format CSV\n1,2", b"insert into t (a, b) ", b"format CSV", b"1,2"),
        (b"INSERT INTO t VALUES (1), (2)", b"INSERT INTO t ", b"", b" (1), (2)"),
        (
            b"INSERT INTO t SETTINGS async_insert=0 FORMAT JSONEachRow {}",
            b"INSERT INTO t ",
            b"SETTINGS async_insert=0 FORMAT JSONEachRow",
            b"{}",
        ),
        (
            b"INSERT INTO t SETTINGS a='FORMAT' VALUES (1)",
            b"INSERT INTO t ",
            b"SETTINGS a='FORMAT' ",
            b" (1)",
        ),
        (
            b"/* FORMAT x */ INSERT INTO `values` (`format`) FORMAT TSV\n1",
            b"/* FORMAT x */ INSERT INTO `values` (`format`) ",
            b"FORMAT TSV",
            b"1",
        ),
    ],
)
def test_an_insert_is_cut_before_its_data(text: bytes, head: bytes, tail: bytes, data: bytes) -> None:
    found = split_insert(text)
    assert found is not None
    assert (found.head, found.tail, found.data) == (head, tail, data)


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 'INSERT INTO t FORMAT CSV'",
        b"INSERT INTO t SELECT 1 FORMAT CSV",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"",
        b"CREATE TABLE insert (a UInt8) ENGINE = Memory",
    ],
)
def test_any_other_statement_goes_to_the_engine_whole(text: bytes) -> None:
    assert split_insert(text) is None
