"""Keys of a bucket share one slot, whatever the customer is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from schemas.partitioning import BUCKETS
from sinks.keys import bucket_keys, generation_key, installation_key

HOSTILE = ["}x", "{y}", "", " ", "a b", "}{", "{}", "{b3}", "b17}", "käufer", "客户", "\x00", "x" * 256, ":p:", "*?[a]"]


def slots_of(bucket: int, customer: str) -> set[int]:
    keys = bucket_keys("ff", 1, bucket)
    return {key_slot(key) for key in (*keys, keys.profile_of(customer), keys.seen_in(472_222))}


@pytest.mark.parametrize("customer", HOSTILE)
def test_no_customer_id_leaves_the_slot_of_its_bucket(customer: str) -> None:
    assert slots_of(17, customer) == {key_slot(b"b17")}


@given(bucket=st.integers(0, BUCKETS - 1), customer=st.text())
def test_all_keys_of_a_bucket_share_a_slot(bucket: int, customer: str) -> None:
    assert len(slots_of(bucket, customer.encode("utf-8", "replace").decode())) == 1


def test_the_layout_is_what_the_documentation_says() -> None:
    keys = bucket_keys("ff", 3, 17)
    assert keys.profile_of("anna") == b"ff:3:{b17}:p:anna"
    assert keys.seen_in(472_222) == b"ff:3:{b17}:seen:472222"
    assert keys.fence == b"ff:3:{b17}:fence"
    assert installation_key("ff") == "ff:installation"
    assert generation_key("ff") == "ff:generation"


def test_two_customers_or_generations_never_share_a_key() -> None:
    keys = {
        bucket_keys("ff", generation, bucket).profile_of(customer)
        for generation in (1, 11)
        for bucket in (1, 11)
        for customer in HOSTILE
    }
    assert len(keys) == 4 * len(HOSTILE)
