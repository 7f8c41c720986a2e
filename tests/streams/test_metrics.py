from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Gauge

from schemas.errors import ConfigurationError
from streams import metrics


@pytest.fixture
def health() -> metrics.Health:
    return metrics.Health("Kafka", "ClickHouse")


@pytest.fixture
def server(health: metrics.Health) -> Iterator[metrics.MetricsServer]:
    server = metrics.MetricsServer(0, health).start()
    yield server
    server.stop()


def get(server: metrics.MetricsServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_role_is_ready_when_nothing_keeps_it_waiting(server: metrics.MetricsServer, health: metrics.Health) -> None:
    health.not_ready("ClickHouse", "connection refused")
    assert get(server, "/readyz") == (503, "ClickHouse: connection refused\nKafka: starting\n")

    health.ready("Kafka")
    health.ready("ClickHouse")
    assert get(server, "/readyz") == (200, "ready\n")


def test_what_is_to_be_known_of_a_ready_role_is_on_its_page_until_it_is_over(
    server: metrics.MetricsServer, health: metrics.Health
) -> None:
    health.ready("Kafka", "none are\n assigned")
    assert get(server, "/readyz") == (503, "ClickHouse: starting\n")
    health.ready("ClickHouse")
    assert get(server, "/readyz") == (200, "ready\nKafka: none are assigned\n")
    health.not_ready("Kafka", "silent")
    assert get(server, "/readyz") == (503, "Kafka: silent\n")
    health.ready("Kafka")
    assert get(server, "/readyz") == (200, "ready\n")


def test_a_role_that_waits_for_a_server_is_alive(server: metrics.MetricsServer) -> None:
    assert get(server, "/healthz") == (200, "alive\n")


def test_a_role_whose_loop_does_not_turn_is_not_alive(health: metrics.Health, server: metrics.MetricsServer) -> None:
    seconds = [100.0]
    health._now, health._stalled_seconds = lambda: seconds[0], 30.0
    seconds[0] += 1_000
    assert get(server, "/healthz")[0] == 200, "its loop has not begun"
    health.beat()
    seconds[0] += 30
    assert get(server, "/healthz") == (200, "alive\n")
    seconds[0] += 1
    assert get(server, "/healthz") == (503, "event loop: has not turned for 31 s\n")
    health.beat()
    assert get(server, "/healthz") == (200, "alive\n")


def test_a_reason_is_one_line_whatever_the_server_said(server: metrics.MetricsServer, health: metrics.Health) -> None:
    health.ready("Kafka")
    health.not_ready("ClickHouse", "Code: 241.\n  Memory limit\n")
    assert get(server, "/readyz") == (503, "ClickHouse: Code: 241. Memory limit\n")


@pytest.mark.parametrize(
    "queue",
    [
        metrics.HANDED_OUT_POLLS, metrics.OUTSTANDING_DECISIONS, metrics.OUTBOX_MESSAGES, metrics.BARRIER_EVENTS,
        metrics.OWNED_PROFILES, metrics.PROFILES_MEMORY, metrics.DUE_PROFILES, metrics.EVENT_IDS,
        metrics.SINK_PENDING_ROWS, metrics.EXAMPLES_HELD,
    ],
)  # fmt: skip
def test_every_bounded_queue_shows_its_size_and_says_where_its_bound_is(
    server: metrics.MetricsServer, queue: Gauge
) -> None:
    [family] = queue.collect()
    assert "(bound: " in family.documentation
    assert f"\n{family.name} " in get(server, "/metrics")[1]


def test_the_metrics_are_in_prometheus_text(server: metrics.MetricsServer) -> None:
    metrics.SINK_ROWS.labels("events_log").inc(3)

    status, text = get(server, "/metrics")

    assert status == 200
    assert "# TYPE footfall_sink_rows_total counter" in text
    assert 'footfall_sink_rows_total{table="events_log"}' in text
    assert "process_resident_memory_bytes" in text


def test_there_is_nothing_else_to_see(server: metrics.MetricsServer) -> None:
    assert get(server, "/table/")[0] == 404


def test_a_taken_port_is_the_users_to_settle(server: metrics.MetricsServer) -> None:
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{server.port} .*FOOTFALL_METRICS__"):
        metrics.MetricsServer(server.port, metrics.Health()).start()
