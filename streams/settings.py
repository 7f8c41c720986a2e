"""Every setting of Footfall, typed: environment `FOOTFALL_*` over `footfall.toml` over the defaults here.

Nested names join with two underscores: `FOOTFALL_KAFKA__BOOTSTRAP` is `[kafka] bootstrap`. Load them with
`load_settings()`, which turns whatever is wrong into one sentence; `footfall config show` prints the effective ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from schemas.partitioning import BUCKETS
from streams.domain_settings import BoundarySettings, ChurnSettings
from streams.provenance import check_names, config_file, explain, explain_unparsable, read_toml
from streams.servers import File, Group, Port, Positive, Seconds, Server

PREFIX: Final = "FOOTFALL_"


class KafkaSettings(Server):
    """The brokers, how to speak to them, and the layout of the topics. Times are seconds."""

    bootstrap: str = Field(
        default="127.0.0.1:9092", min_length=1, description="brokers, host:port, separated by commas"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: SecretStr = SecretStr("")
    partitions: Positive = Field(default=4, description="partitions of every input topic; divides 256")
    replication: Positive = Field(default=1, description="copies of every topic; 3 in production")
    session_timeout: Seconds = 10.0
    heartbeat_interval: Seconds = 3.0
    rebalance_timeout: Seconds = 30.0
    max_poll_interval: Seconds = 120.0
    request_timeout: Seconds = 30.0
    fetch_wait: Seconds = Field(default=0.05, description="the longest a broker holds back an empty answer")

    @field_validator("partitions")
    @classmethod
    def _divides_the_buckets(cls, partitions: int) -> int:
        if BUCKETS % partitions:
            raise ValueError(f"it must divide {BUCKETS}, so that one partition owns whole buckets: 1, 2, 4, 8, 16 ...")
        return partitions

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.username and self.password.get_secret_value()):
            raise ValueError(f"security_protocol {self.security_protocol} needs username and password")
        if self.heartbeat_interval * 3 > self.session_timeout:
            raise ValueError("session_timeout must be at least three times heartbeat_interval")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.security_protocol.endswith("SSL")


class RegistrySettings(Server):
    """The schema registry."""

    url: str = Field(default="http://127.0.0.1:8081", pattern=r"^https?://", description="https:// for TLS")
    username: str = ""
    password: SecretStr = SecretStr("")

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        if "@" in url:
            raise ValueError("user and password belong in registry.username and registry.password")
        return url

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.startswith("https:")


class RedisSettings(Server):
    """Where profiles live."""

    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), description="redis://, rediss:// (TLS) or unix://"
    )
    prefix: str = Field(default="ff", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="first part of every key")

    @field_validator("url")
    @classmethod
    def _is_a_redis_url(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("it must begin with redis://, rediss:// or unix://")
        if any(name.startswith("ssl") for name, _ in parse_qsl(parts.query)):
            raise ValueError("TLS is always verified: redis.ca_file, not the URL, says by whom")
        try:
            parts.port  # noqa: B018  read for the error it raises
        except ValueError:
            raise ValueError("its port is no number; in user and password write %2F for /, %40 for @") from None
        return url

    @property
    def address(self) -> str:
        """The URL without user, password and options, for messages."""
        parts = urlsplit(self.url.get_secret_value())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.url.get_secret_value().startswith("rediss:")


class WarehouseSettings(Server):
    """ClickHouse over HTTP, and the size of a block written to it."""

    host: str = "127.0.0.1"
    port: Port = 8123
    database: str = Field(default="footfall", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
    user: str = "default"
    password: SecretStr = SecretStr("")
    secure: bool = Field(default=False, description="HTTPS")
    block_rows: Positive = 50_000
    block_seconds: Seconds = 1.0

    @property
    def encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.secure


class BatchSettings(Group):
    """How much a worker takes at once and keeps in memory."""

    max_records: Positive = Field(default=40_000, description="the most records of a poll, and so of a batch")
    dedup_hours: int = Field(
        default=24, ge=1, le=168, description="event time in which a repeated event_id counts once"
    )
    profiles_mib: Positive = Field(
        default=1024, description="memory for decoded profiles, MiB; those not used for long go first"
    )
    columnar: bool = Field(default=True, description="decode Avro to columns; false: record by record")


class PoisonSettings(Group):
    """How much bad input a worker diverts into dead-letters before it stops: a producer or schema is wrong then."""

    in_a_row: Positive = Field(default=1_000, description="bad records in a row that stop a worker")
    share: float = Field(default=0.01, gt=0, le=1, description="share of bad ones in the last 100 000 that stops it")


class MetricsSettings(Group):
    """Where each role serves /metrics, /healthz and /readyz."""

    host: str = "127.0.0.1"
    process: Port = 9101
    train: Port = 9102
    sink: Port = 9103

    def port_of(self, role: str) -> int:
        """The port of a role."""
        return int(getattr(self, role))


class HealthSettings(Group):
    """When a role counts as not ready or not alive."""

    max_lag_records: Positive = Field(
        default=500_000, description="records a role may be behind; ready again at half of it"
    )
    probe_seconds: Seconds = Field(default=5.0, description="how often a role asks whether its servers answer")
    stalled_seconds: Seconds = Field(default=30.0, description="a loop that does not turn for so long is not alive")


class LogSettings(Group):
    """Logging: JSON lines where nobody looks, colours on a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    installation: str = Field(
        "footfall", pattern=r"^[a-z][a-z0-9-]{0,39}$", description="its name; groups begin with it"
    )
    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()
    redis: RedisSettings = RedisSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    clock: Literal["wall", "event"] = Field(default="wall", description="wall in production, event in replays")
    timezone: str = Field(default="UTC", description="days, hours and months are those of this zone")
    base_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="the currency of all money")
    rates: dict[str, Annotated[Decimal, Field(gt=0)]] = Field(
        default={}, description="base units for one unit of a currency"
    )
    segments: File = Field(default=None, description="segment definitions; none: those shipped")
    batch: BatchSettings = BatchSettings()
    poison: PoisonSettings = PoisonSettings()
    churn: ChurnSettings = ChurnSettings()
    boundaries: BoundarySettings = BoundarySettings()
    metrics: MetricsSettings = MetricsSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    drain_seconds: Seconds = Field(default=10.0, description="time a role has to finish after SIGTERM")

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("it must be a name of the IANA database, as in Europe/Berlin") from error
        return name

    @field_validator("rates")
    @classmethod
    def _currency_codes(cls, rates: dict[str, Decimal]) -> dict[str, Decimal]:
        codes = {name.upper(): rate for name, rate in rates.items()}  # environment names arrive in small letters
        if not all(re.fullmatch("[A-Z]{3}", code) for code in codes):
            raise ValueError("its keys must be currency codes of three letters")
        return codes

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the base class calls by these names
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    @property
    def zone(self) -> tzinfo:
        """The time zone as an object."""
        return ZoneInfo(self.timezone)

    def group(self, role: str) -> str:
        """The consumer group of a role."""
        return f"{self.installation}-{role}"


EMBEDDED_KAFKA: Final[Mapping[str, Any]] = {
    # Tansu holds a group join for half the session timeout (measured), so a long one delays every start
    "session_timeout": 6.0,
    "heartbeat_interval": 1.0,
    "rebalance_timeout": 4.0,
    "max_poll_interval": 60.0,
    "replication": 1,
}


def load_settings(**overrides: Any) -> Settings:
    """The effective settings; `overrides` come before environment and file.

    Raises:
        ConfigurationError: an unknown name or a bad value, with its place and what to do, in one sentence.

    """
    document = read_toml()
    check_names(Settings, os.environ, document)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise explain(Settings, error, os.environ, document) from None
    except SettingsError as error:
        raise explain_unparsable(Settings, error, os.environ) from None
