"""Every setting of every process, with its default and what it means; read from the environment (prefix BACKOFFICE_)."""

from functools import cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings; the README's table is generated from this class."""

    model_config = SettingsConfigDict(env_prefix="BACKOFFICE_", frozen=True)

    stack: str = Field(
        "auto",
        description="where Kafka and PostgreSQL come from: auto, address, docker or embedded",
    )
    kafka: str = Field(
        "", description="bootstrap address of Kafka, host:port; empty: the stack decides"
    )
    database_url: str = Field(
        "",
        description="PostgreSQL, postgresql+asyncpg://user@host/db; the login must be allowed to take the services' roles",
    )
    topic_prefix: str = Field(
        "", description="put before the name of every topic and consumer group"
    )
    data: Path = Field(
        Path(".backoffice"), description="folder of the embedded stack: data, logs, state"
    )
    cache: Path | None = Field(
        None, description="folder for Kafka's jars; empty: ~/.cache/staffing-back-office"
    )
    workers: str = Field(
        "",
        description="replicas of each worker that `up` starts, e.g. fee_realizer=2,invoicer=2; else one each",
    )
    ports: str = Field(
        "",
        description="ports that parts of the embedded stack must take, e.g. kafka=9092,postgres=5432; else the last or free ones",
    )
    replica: str = Field(
        "1", description="name of this replica of the worker; two with one name refuse to run"
    )
    http_host: str = Field(
        "127.0.0.1", description="address on which a worker serves /metrics, /livez and /readyz"
    )
    http_port: int = Field(
        0, description="port of /metrics, /livez and /readyz; 0 takes a free one"
    )
    max_batch_records: int = Field(1000, description="records of one consumer in one transaction")
    partitions: int = Field(4, description="partitions of a topic when it is created")
    pool_size: int = Field(5, description="database connections of one worker")
    sweep_seconds: float = Field(
        5.0,
        description="how often a worker looks for what is still in the outbox, stale or to be priced",
    )
    tick_seconds: float = Field(15.0, description="how often the scheduler looks at the clock")
    progress_limit_seconds: float = Field(
        60.0, description="a worker whose last progress is older than this is not ready"
    )
    bad_records_limit: int = Field(
        200,
        description="a consumer pauses after so many unreadable records in a row, or when half of its last 1000 were",
    )
    ledger_key: str = Field(
        "",
        repr=False,
        description="seals passwords and tokens of accounting systems; `backoffice ledger key` makes one; empty: none can be connected",
    )
    today: str = Field(
        "",
        description="ISO date that stands for today in every zone (demonstrations and tests only); empty: the clock",
    )
    crash: str = Field("", description="a crash point, name[@topic][:n] (tests only)")
    pause: str = Field("", description="folder of pause points (tests only)")
    log_format: str = Field("auto", description="console, json or auto (console on a terminal)")


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
