from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ProtocolError, RewoundError
from schemas.events import Chunk
from streams.kafka.chunks import Acks, ChunkGate, PollAssembler, TopicPartition

TP = ("clickstream", 3)


def chunk(
    first: int, after: int, *, generation: int = 1, poll: int = 1, size: int = 1, tp: TopicPartition = TP
) -> Chunk:
    return Chunk(*tp, first, after, generation, (), poll, size)


def open_gate(positions: Mapping[TopicPartition, int] | None = None) -> ChunkGate:
    gate = ChunkGate()
    gate.assign(1, {TP: 0} if positions is None else positions)
    return gate


# -- the gate ----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), max_size=30))
def test_contiguous_chunks_of_the_generation_are_accepted(lengths: list[int]) -> None:
    gate, position = open_gate(), 0
    for poll, length in enumerate(lengths, 1):
        assert gate.accept(chunk(position, position + length, poll=poll))
        position += length
    assert gate.position(TP) == position


def test_a_chunk_of_another_generation_is_turned_away() -> None:
    gate = open_gate()
    gate.assign(2, {TP: 0})
    assert not gate.accept(chunk(0, 5, generation=1))
    assert gate.accept(chunk(0, 5, generation=2))


def test_a_chunk_of_a_revoked_partition_is_turned_away() -> None:
    gate = open_gate()
    gate.revoke([TP])
    assert not gate.accept(chunk(0, 5))


def test_nothing_is_accepted_before_an_assignment() -> None:
    assert not ChunkGate().accept(chunk(0, 5, generation=0))


@given(back=st.integers(0, 100), stale=st.integers(0, 5))
def test_after_a_seek_only_what_was_read_later_is_accepted(back: int, stale: int) -> None:
    gate = open_gate({TP: 100})
    gate.seek(TP, back, after_poll=stale)
    for poll in range(1, stale + 1):
        assert not gate.accept(chunk(100 + poll, 101 + poll, poll=poll))
    assert gate.accept(chunk(back, 200, poll=stale + 1))


def test_records_lost_to_retention_stop_the_worker_with_their_offsets() -> None:
    with pytest.raises(RewoundError, match=r"clickstream, partition 3: records 0 to 49 are gone.*process --skip-gap"):
        open_gate().accept(chunk(50, 60))


def test_a_log_that_went_back_stops_the_worker() -> None:
    with pytest.raises(RewoundError, match=r"went back from 100 to 0; was the topic recreated"):
        open_gate({TP: 100}).accept(chunk(0, 5))


@given(st.data())
def test_whatever_seeks_and_rebalances_come_every_accepted_run_is_contiguous(data: st.DataObject) -> None:
    """A model of a consumer: a log position, a buffer of fetched chunks, seeks and rebalances at any moment."""
    gate, generation, position, poll = open_gate(), 1, 0, 0
    buffer: list[Chunk] = []
    expected = 0
    for step in data.draw(st.lists(st.sampled_from(["fetch", "deliver", "seek", "rebalance"]), max_size=60)):
        if step == "fetch":
            poll += 1
            length = data.draw(st.integers(1, 9))
            buffer.append(chunk(position, position + length, generation=generation, poll=poll))
            position += length
        elif step == "deliver" and buffer:
            one = buffer.pop(0)
            if gate.accept(one):
                assert one.first == expected
                expected = one.next
        elif step == "seek":
            position = expected = data.draw(st.integers(0, expected))
            gate.seek(TP, position, after_poll=poll)
        elif step == "rebalance":
            generation += 1
            position = expected
            gate.assign(generation, {TP: position})
    for one in buffer:
        if gate.accept(one):
            assert one.first == expected
            expected = one.next
    assert expected == position, "what was fetched since is delivered, none of it lost"


# -- acknowledgements ----------------------------------------------------------------------------------------------


def acks_at(position: int) -> Acks:
    acks = Acks()
    acks.assign({TP: position})
    return acks


def test_an_offset_below_an_unacknowledged_chunk_is_never_committed() -> None:
    """Faust's bookkeeping fails this: with 11 and 12 acknowledged and 10 committed it commits past the open 10."""
    acks = acks_at(10)
    with pytest.raises(ProtocolError, match="everything up to 10"):
        acks.ack(chunk(11, 13))
    assert acks.committable() == {TP: 10}


def test_the_same_holds_at_the_start_of_a_log() -> None:
    acks = acks_at(0)
    with pytest.raises(ProtocolError):
        acks.ack(chunk(1, 2))
    assert acks.committable() == {}


@given(st.lists(st.integers(1, 20), min_size=1, max_size=20), st.data())
def test_what_is_committable_is_the_end_of_the_last_acknowledged_chunk(lengths: list[int], data: st.DataObject) -> None:
    acks, position = acks_at(0), 0
    for length in lengths:
        acks.ack(chunk(position, position + length))
        position += length
        assert acks.committable() == {TP: position}
        if data.draw(st.booleans()):
            acks.committed({TP: position})
            assert acks.committable() == {}
    assert acks.positions() == {TP: position}


def test_where_a_new_owner_begins_is_committed_though_nothing_new_arrives() -> None:
    """Its predecessor applied everything and died before it committed: lag would be shown for ever."""
    acks = acks_at(10)
    assert acks.committable() == {TP: 10}
    acks.committed({TP: 10})
    assert acks.committable() == {}
    assert acks_at(0).committable() == {}


def test_a_commit_that_was_overtaken_leaves_the_newer_offset_to_commit() -> None:
    acks = acks_at(0)
    acks.ack(chunk(0, 5))
    asked = acks.committable()
    acks.ack(chunk(5, 9))
    acks.committed(asked)
    assert acks.committable() == {TP: 9}


def test_a_seek_back_takes_what_was_acknowledged_off_the_next_commit() -> None:
    acks = acks_at(0)
    acks.ack(chunk(0, 5))
    acks.seek(TP, 2)
    assert acks.committable() == {}
    acks.ack(chunk(2, 4))
    assert acks.committable() == {TP: 4}


# -- assembling polls ------------------------------------------------------------------------------------------------


def test_a_poll_is_whole_with_its_last_chunk() -> None:
    assembler = PollAssembler()
    parts = [chunk(0, 5, poll=7, size=3, tp=("app", n)) for n in range(3)]
    assert [assembler.add(part) for part in parts] == [None, None, parts]


def test_a_poll_of_which_a_rebalance_swallowed_a_part_is_dropped() -> None:
    assembler = PollAssembler()
    assert assembler.add(chunk(0, 5, poll=1, size=2)) is None
    later = chunk(0, 5, poll=2, generation=2)
    assert assembler.add(later) == [later]
