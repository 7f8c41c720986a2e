"""Shipped files are found wherever the program was installed from."""

from __future__ import annotations

import pytest

from schemas.errors import ConfigurationError
from streams.resources import resource


@pytest.mark.parametrize("name", ["segments.yaml", "clickhouse", "data/CDNOW_master.txt", "data/ecom.csv.gz"])
def test_every_shipped_file_is_found(name: str) -> None:
    assert resource(name).exists()


def test_a_missing_file_is_one_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"lacks nothing\.yaml: reinstall"):
        resource("nothing.yaml")
