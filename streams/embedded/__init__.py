"""Broker, Valkey, ClickHouse engine and schema registry on one machine, without Docker or a JVM."""
