from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

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


def test_a_role_that_waits_for_a_server_is_alive(server: metrics.MetricsServer) -> None:
    assert get(server, "/healthz") == (200, "alive\n")


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
