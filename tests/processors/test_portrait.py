"""The members of the traits: each name once, whatever a customer says of himself."""

from __future__ import annotations

import orjson

from processors.event import ATTRIBUTE_NAMES
from processors.portrait import encode_portrait
from processors.traits import TRAITS
from tests.builders import event, order, run


def test_no_attribute_has_the_name_of_another_member() -> None:
    profile = run([event(detail="shoes"), order()]).profile
    members = orjson.loads(encode_portrait(profile))
    assert {"segments", "sequence", "top_channels", "top_hours"} <= members.keys()
    assert not {*ATTRIBUTE_NAMES} & ({*members} | {*TRAITS} - {*ATTRIBUTE_NAMES})


def test_texts_of_customers_are_escaped() -> None:
    profile = run([event(channel='we"b\\', detail="schöne Dinge")]).profile
    profile.attributes = {"city": (1, 'S"o\n')}
    traits = orjson.loads(encode_portrait(profile))
    assert traits["top_channels"] == [['we"b\\', 1]]
    assert traits["top_categories"] == [["schöne Dinge", 1]]
    assert traits["city"] == 'S"o\n'
