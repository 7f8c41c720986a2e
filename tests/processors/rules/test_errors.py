"""Every mistake in a segments file is answered with file, line, column, what is wrong and what to write."""

from __future__ import annotations

import pytest

from processors.rules import parse_rules
from schemas.errors import ConfigurationError, RulesError
from tests.processors.rules.histories import yaml_of_lone


def complaints(content: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        parse_rules(content, "s.yaml")
    return str(caught.value).splitlines()


MISTAKES = {  # condition -> column in it (from 1), message
    "ordrs_90d >= 3": (1, "there is no trait `ordrs_90d`: did you mean `orders_90d`?"),
    "orders_90d >= 3 and activty == 1": (21, "there is no trait `activty`: did you mean `activity`?"),
    "zzz >= 3": (1, "there is no trait `zzz`"),
    'activity == "dormnt"': (13, "`activity` is never 'dormnt': did you mean `dormant`?"),
    'value == "gold"': (10, "`value` is never 'gold' (it is one of 'high', 'mid', 'low', 'none')"),
    '"champoin" == rfm': (1, "`rfm` is never 'champoin': did you mean `champion`?"),
    'rfm in ("champion", "lots")': (21, "`rfm` is never 'lots': did you mean `lost`?"),
    'orders_90d == "3"': (15, "`orders_90d` (a number) cannot be compared with '3' (a text)"),
    "city > 3": (8, "`city` (a text) cannot be compared with 3 (a number)"),
    "city == orders_90d": (9, "`city` (a text) cannot be compared with `orders_90d` (a number)"),
    'city == orders_90d + "a"': (22, "'a' (a text) cannot be calculated with"),
    'city >= "a"': (9, "texts have no order: >= needs numbers, use ==, != or in"),
    "city == -gender": (10, "`gender` (a text) cannot be calculated with"),
    "orders_90d": (1, "`orders_90d` is a value, not a condition: compare it, such as `orders_90d > 0`"),
    "not city": (5, '`city` is a text, not a condition: write `city == "..."`'),
    "orders_90d >= 3 or 1": (20, "`1` is a value, not a condition: compare it, such as `1 > 0`"),
    "3 > 2": (5, "this compares two literals: one side must name a trait"),
    "orders_90d / orders_30d > 2": (
        1,
        "divide only by a number: a trait may be 0, so compare products (`a >= 2 * b`)",
    ),
    "orders_90d / 0 > 2": (1, "this divides by 0"),
    "orders_90d / (2 - 2) > 2": (1, "this divides by 0"),
    "orders_90d * frequency > 2": (1, "multiply only by a number, not one trait by another"),
    "orders_90d ** 2 > 2": (1, "this is not allowed in a condition: only traits, literals, comparisons, and/or/not"),
    "len(city) > 2": (
        1,
        "a function call is not allowed in a condition: only traits, literals, comparisons, and/or/not",
    ),
    'city.upper() == "OSLO"': (
        1,
        "a function call is not allowed in a condition: only traits, literals, comparisons, and/or/not",
    ),
    'city.name == "OSLO"': (1, "a dot is not allowed in a condition: only traits, literals, comparisons, and/or/not"),
    'city[0] == "O"': (1, "a subscript is not allowed in a condition: only traits, literals, comparisons, and/or/not"),
    '"ö" == city and [x for x in city] == "O"': (
        17,
        "a comprehension is not allowed in a condition: only traits, literals, comparisons, and/or/not",
    ),
    "(lambda: 1) > orders_90d": (
        2,
        "lambda is not allowed in a condition: only traits, literals, comparisons, and/or/not",
    ),
    "(orders_90d > 1) == (orders_30d > 1)": (
        2,
        "a condition stands where a value belongs: join conditions with and, or, not",
    ),
    "orders_90d is 3": (1, "`is` compares nothing here: write =="),
    "orders_90d in 3": (15, '`in` needs a list of literals: write ("a", "b"), or == for a single value'),
    'city in ("Oslo")': (10, '`in` needs a list of literals: write ("a", "b"), or == for a single value'),
    "city in ()": (9, '`in` needs a list of literals: write ("a", "b"), or == for a single value'),
    "orders_90d in (1, orders_30d)": (19, "the list after `in` may hold only literals"),
    "orders_90d >= True": (15, "True is neither a number nor a text"),
    "orders_90d >= 2j": (15, "2j is neither a number nor a text"),
    "orders_90d >= 1e999": (15, "the number is out of range: at most 2^53 either side of 0"),
    "orders_90d >= 9007199254740992 * 2": (15, "the number is out of range: at most 2^53 either side of 0"),
    "orders_90d > 1 & orders_30d > 1": (
        14,
        "this is not allowed in a condition: only traits, literals, comparisons, and/or/not",
    ),
    "(orders_90d > 1) & (orders_30d > 1)": (1, "write `and` for & and `or` for |"),
    "orders_90d >= 3 and": (19, "the condition ends too early"),
    "orders_90d = 3": (12, "the condition cannot be read here: write == to compare"),
    "orders_90d => 3": (12, "the condition cannot be read here: write <= or >="),
    "orders_90d <> 3": (12, "the condition cannot be read here: write != for unlike"),
    "orders_90d > 3 && orders_30d > 1": (17, "the condition cannot be read here: write and, or, not in small letters"),
    "orders_90d > 3 OR orders_30d > 1": (16, "the condition cannot be read here: write and, or, not in small letters"),
    "not " * 20 + "orders_90d > 3": (69, "the condition is nested more than 16 deep: split the segment"),
    "orders_90d > " + "-" * 900 + "1": (30, "the condition is nested more than 16 deep: split the segment"),
    "(" * 300 + "orders_90d > 1" + ")" * 300: (201, "the condition cannot be read here"),
    " or ".join(["orders_90d > 1"] * 100): (1, "the condition has 1796 characters, at most 1000 are allowed"),
}


@pytest.mark.parametrize("condition", MISTAKES)
def test_a_mistake_in_a_condition_is_named_with_its_column(condition: str) -> None:
    column, message = MISTAKES[condition]
    place = len("    when: '") + column
    assert complaints(yaml_of_lone(f"'{condition}'")) == [f"s.yaml:4:{place}: {message}"]


HEAD = "segments:\n  - id: x\n    name: {en: X, zh: 某}\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEAD + "    when: >-\n      orders_90d >= 3\n      and activty == 1\n", "6:11: there is no trait `activty`"),
        (
            HEAD + "    when: |\n\n      orders_90d >= 3 or\n        ordrs_30d == 1\n",
            "7:9: there is no trait `ordrs_30d`",
        ),
        (HEAD + '    when: "city == \\"Oslo\\" and citty == \\"Rome\\""\n', "4:33: there is no trait `citty`"),
        (HEAD + "    when: 'city == ''Oslo'' and citty == 1'\n", "4:33: there is no trait `citty`"),
        (HEAD + '    when: city == "奥斯陆" and citty == 1\n', "4:29: there is no trait `citty`"),
        (HEAD + "    when:   orders_90d >= 3\n      and activty == 1\n", "5:11: there is no trait `activty`"),
    ],
)
def test_the_column_is_right_however_the_condition_is_written_in_yaml(content: str, expected: str) -> None:
    (complaint,) = complaints(content)
    assert complaint.startswith(f"s.yaml:{expected}")


KEYS = "id, name, when, exit_when, min_dwell, action, quiet"
GROUP = "groups:\n  - id: g\n    name: {en: G, zh: 组}\n    segments:\n"
ONE = "      - {id: a, name: {en: A, zh: 甲}, when: orders_90d > 1}\n"
REST = "      - {id: b, name: {en: B, zh: 乙}}\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ["1:1: the file is empty: it needs `groups` or `segments`"]),
        ("# nothing\n", ["1:1: the file is empty: it needs `groups` or `segments`"]),
        ("- a\n", ["1:1: the file must be a mapping of groups, segments"]),
        ("segments: 3\n", ["1:11: `segments` must be a list"]),
        (
            "segments:\n  - 3\n",
            [f"2:5: a segment must be a mapping of {KEYS}"],
        ),
        ("segmnts: []\n", ["1:1: the file has no key `segmnts`: did you mean `segments`?"]),
        ("segments: []\nfoo: 1\n", ["2:1: the file has no key `foo` (it has groups, segments)"]),
        ("segments: []\nsegments: []\n", ["2:1: the file has `segments` twice"]),
        ("segments:\n  - id: [\n", ["3:1: this is not YAML (expected the node content, but found '<stream end>')"]),
        ("segments: []\n---\nsegments: []\n", ["2:1: this is not YAML (but found another document)"]),
        ("a: *b\n", ["1:4: this is not YAML (found undefined alias 'b')"]),
        ("segments: !!python/object:os.system []\n", []),
        ("[" * 1_000, ["1:1: this is nested too deeply"]),
        (HEAD + "    wen: orders_90d > 1\n", ["4:5: a segment has no key `wen`: did you mean `when`?"]),
        (HEAD, ["2:5: the segment `x` has no `when`: only the last segment of a group may omit it"]),
        (HEAD + "    when:\n", ["4:10: `when` of the segment `x` must be a condition, such as `orders_90d >= 3`"]),
        (HEAD + '    when: " "\n', ["4:12: the condition is empty: write one, such as `orders_90d >= 3`"]),
        (HEAD + "    when: [1]\n", ["4:11: `when` of the segment `x` must be a condition, such as `orders_90d >= 3`"]),
        (HEAD + "    when: orders_90d > 1\n    quiet: 1\n", ["5:12: `quiet` of the segment `x` must be true or false"]),
        (HEAD + "    when: orders_90d > 1\n    action:\n", ["5:12: `action` of the segment `x` is empty"]),
        (
            HEAD + "    when: orders_90d > 1\n    min_dwell: 3w\n",
            ["5:16: `min_dwell` of the segment `x` is `3w`: write days, hours or minutes, as in 3d, 12h or 30m"],
        ),
        (
            "segments:\n  - name: {en: X, zh: 某}\n    when: orders_90d > 1\n",
            ["2:5: a segment has no `id`"],
        ),
        (
            "segments:\n  - id: x\n    when: orders_90d > 1\n",
            ["2:5: the segment `x` has no name: add `name: {en: ..., zh: ...}`"],
        ),
        (
            "segments:\n  - id: x\n    name: {en: X}\n    when: orders_90d > 1\n",
            ["3:11: the name of the segment `x` lacks `zh`"],
        ),
        (
            "segments:\n  - id: x\n    name: X\n    when: orders_90d > 1\n",
            ["3:11: the name of the segment `x` must be a mapping of en, zh"],
        ),
        (
            "segments:\n  - id: Big Spender\n    name: {en: X, zh: 某}\n    when: orders_90d > 1\n",
            ["2:9: `Big Spender` is no id: use up to 48 of a-z, 0-9 and _, a letter first"],
        ),
        (
            yaml_of_lone("orders_90d > 1") + yaml_of_lone("orders_90d > 2").removeprefix("segments:\n"),
            ["5:9: the id `x` is taken: ids are unique among groups and lone segments, and inside a group"],
        ),
        (
            GROUP + ONE + ONE + REST,
            ["6:14: the id `a` is taken: ids are unique among groups and lone segments, and inside a group"],
        ),
        (GROUP + "      []\n", ["5:7: the group `g` has no segment"]),
        ("groups:\n  - id: g\n    name: {en: G, zh: 组}\n", ["2:5: the group `g` has no `segments`"]),
        (
            GROUP + ONE,
            ["5:9: the group `g` has no segment for what is left: leave `when` out of the last, `a`, or add one"],
        ),
        (
            GROUP + REST + ONE,
            [
                "5:9: the segment `b` has no `when` but is not the last of the group `g`: the rest could never hold",
                "6:9: the group `g` has no segment for what is left: leave `when` out of the last, `a`, or add one",
            ],
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_line_and_column(content: str, expected: list[str]) -> None:
    if expected:
        assert complaints(content) == [f"s.yaml:{line}" for line in expected]
    else:
        assert parse_rules(content, "s.yaml").units == ()


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    content = HEAD + "    when: ordrs_90d > 1\n    exit_when: 1\n    min_dwell: soon\n"
    assert [line.split(": ")[0] for line in complaints(content)] == ["s.yaml:4:11", "s.yaml:5:16", "s.yaml:6:16"]


def test_a_wrong_segments_file_is_the_users_to_fix() -> None:
    assert issubclass(RulesError, ConfigurationError)
