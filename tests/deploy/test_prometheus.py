from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from streams import metrics

DIRECTORY = Path(__file__).parents[2] / "deploy" / "prometheus"
UNITS = (
    "_seconds",
    "_bytes",
    "_total",
    "_records",
    "_rows",
    "_messages",
    "_ids",
    "_profiles",
    "_buckets",
    "_ratio",
    "_examples",
    "_polls",
    "_decisions",
    "_events",
)
PLAIN = {"footfall_ready", "footfall_model_version", "footfall_prequential_log_loss"}
"""Without a unit: a flag, a count of examples that is an identity, a dimensionless loss."""


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DIRECTORY / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def declared() -> list[Metric]:
    return [metric for metric in metrics.REGISTRY.collect() if metric.name.startswith("footfall_")]


def series(metric: Metric) -> set[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    return {metric.name + suffix for suffix in suffixes.get(metric.type, ("",))}


def base_names(metric: Metric) -> set[str]:
    return {metric.name + "_total"} if metric.type == "counter" else {metric.name}


def test_every_metric_of_the_alert_rules_is_declared() -> None:
    known = set().union(*map(series, declared()))
    used = {name for rule in rules() for name in re.findall(r"footfall_\w+", rule["expr"])}

    assert len(used) > 10
    assert used - known == set()


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]

    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "action"}


def test_every_metric_has_a_meaning_and_a_base_unit() -> None:
    for metric in declared():
        assert metric.documentation.endswith("."), metric.name
        assert metric.name in PLAIN or all(name.endswith(UNITS) for name in base_names(metric)), metric.name


def test_no_label_can_hold_what_a_customer_sends() -> None:
    bounded = {"topic", "reason", "stage", "partition", "outcome", "group", "label", "model", "table", "kind"}
    instruments = [value for value in vars(metrics).values() if hasattr(value, "_labelnames")]

    assert len(instruments) > 30
    assert {label for instrument in instruments for label in instrument._labelnames} <= bounded


def test_prometheus_scrapes_the_ports_the_roles_serve() -> None:
    config = yaml.safe_load((DIRECTORY / "prometheus.yml").read_text())
    scraped = {job["job_name"]: job["dns_sd_configs"][0]["port"] for job in config["scrape_configs"]
               if "dns_sd_configs" in job}  # fmt: skip

    assert scraped == {"process": 9101, "train": 9102, "sink": 9103}
    assert config["rule_files"] == ["alerts.yml"]


@pytest.mark.parametrize("check", [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"]])
def test_promtool_accepts_the_files(check: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("NOT CHECKED: promtool is not installed here")

    checked = subprocess.run([promtool, *check], cwd=DIRECTORY, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
