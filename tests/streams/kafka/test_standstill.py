from __future__ import annotations

from streams.kafka.standstill import Standstill

TP = ("purchase", 3)


def test_a_broker_that_answers_and_offsets_that_move_are_nothing_to_report() -> None:
    standstill = Standstill(20.0)
    standstill.excuse(0.0)
    for second in range(100):
        assert standstill.look(second, second - 1.0, {TP: 1_000}, {TP: second}) is None


def test_no_answer_for_too_long_is_a_silent_consumer() -> None:
    standstill = Standstill(20.0)
    standstill.excuse(0.0)
    assert standstill.look(20.0, 0.0, {TP: 5}, {TP: 5}) is None
    assert standstill.look(21.0, 0.0, {TP: 5}, {TP: 5}) == ("silent consumer", "no fetch was answered for 21 s")


def test_records_that_nobody_takes_are_a_standstill() -> None:
    standstill = Standstill(20.0)
    standstill.excuse(0.0)
    found = [standstill.look(second, second, {TP: 9}, {TP: 5}) for second in range(25)]
    assert found.index(next(one for one in found if one)) == 21
    kind, detail = found[21] or ("", "")
    assert kind == "standstill"
    assert "purchase 3 has 4" in detail


def test_who_wants_nothing_need_not_be_answered() -> None:
    standstill = Standstill(20.0)
    standstill.excuse(0.0)
    kinds = {found[0] for second in range(40) if (found := standstill.look(second, None, {TP: 9}, {TP: 5}))}
    assert kinds == {"standstill"}


def test_what_is_read_to_its_end_need_not_move() -> None:
    standstill = Standstill(20.0)
    standstill.excuse(0.0)
    assert all(standstill.look(second, second, {TP: 5}, {TP: 5}) is None for second in range(100))


def test_an_excuse_begins_anew() -> None:
    standstill = Standstill(20.0)
    standstill.excuse(0.0)
    standstill.excuse(30.0)
    assert standstill.look(49.0, 0.0, {TP: 9}, {TP: 5}) is None
    assert standstill.look(51.0, 0.0, {TP: 9}, {TP: 5}) is not None


def test_what_was_before_the_first_look_is_nobodys_silence() -> None:
    standstill = Standstill(20.0)
    assert standstill.look(9_000.0, 0.0, {TP: 9}, {TP: 5}) is None, "joined at once; no fetch was answered yet"
    assert standstill.look(9_021.0, 0.0, {TP: 9}, {TP: 5}) == ("silent consumer", "no fetch was answered for 21 s")
