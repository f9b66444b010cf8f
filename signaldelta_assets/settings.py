"""The one place settings come from: environment variables with the prefix SIGNALDELTA_, typed and checked.

Nothing reads them at import. The skin (`defs`, `api`, the command line) calls `load_settings` and hands plain
values to the rooms below.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# As browsers send it (RFC 6454): no path, no port that is the scheme's own. Who stands between can change a page that
# comes over http, so that is for this machine alone.
_NAME = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_PORT = r"(?::(?!80\b)(?!443\b)[1-9][0-9]{0,4})?"
_ORIGIN = re.compile(rf"(?:https://{_NAME}(?:\.{_NAME})*|http://(?:localhost|127\.0\.0\.1|\[::1\])){_PORT}")


class Settings(BaseSettings):
    """Settings of one deployment. Every field is an environment variable SIGNALDELTA_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="SIGNALDELTA_", extra="ignore", frozen=True)

    home: Path = Field(Path(".signaldelta"), description="State of this deployment: database, archive, artifacts.")
    database_url: str | None = Field(None, description="A PostgreSQL to use; unset starts the embedded one.")
    place: Literal["one", "offsite", "aws"] = Field(
        "one", description="Which home this database is; `one`: both homes in one server."
    )
    peer_database_url: str | None = Field(
        None, description="The other home's PostgreSQL. With no database_url a second embedded one."
    )
    connections: int = Field(4, ge=1, description="To each home, of a process that works: a run, a command.")
    statement_timeout_seconds: float = Field(3600.0, ge=0, description="Of such a process; 0 is none.")
    api_connections: int = Field(16, ge=1, description="To each home, of a process of the API.")
    api_statement_timeout_seconds: float = Field(
        3.0, ge=0, description="Of the API: with the wait for a connection, no request is held up for over 5 s."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = Field(
        "json", description="Of what services print; the files in <home>/logs are JSON, a line each."
    )
    log_days: int = Field(30, ge=1, description="Days that those files stay.")
    watch_seconds: int = Field(30, ge=1, description="How often Dagster's sensor looks whether something is wrong.")
    alert_webhooks: tuple[SecretStr, ...] = Field(
        (), description='Where alerts are sent as JSON: ["https://..."]. Such an address is a secret.'
    )
    alert_slack_url: SecretStr | None = Field(None, description="A Slack incoming webhook that alerts are sent to.")
    metrics_token: SecretStr | None = Field(
        None, description="The bearer token that /metrics asks for; unset: it answers this machine alone."
    )

    edgar_www_url: str = Field("https://www.sec.gov", description="EDGAR archives, indexes and feeds.")
    edgar_data_url: str = Field("https://data.sec.gov", description="EDGAR submissions API.")
    edgar_contact: str | None = Field(None, description="Name and e-mail the SEC asks for in the User-Agent.")
    # Of each upstream: 0 is no limit, for an archive of one's own.
    edgar_requests_per_second: float = Field(10.0, ge=0, description="Over all processes; the SEC allows 10.")
    polygon_url: str = Field("https://api.polygon.io", description="Polygon REST API.")
    polygon_api_key: SecretStr | None = None
    polygon_requests_per_second: float = Field(5.0, ge=0)
    llm_protocol: Literal["openai", "anthropic"] | None = Field(
        None, description="Unset: nothing is asked of a language model."
    )
    llm_url: str | None = Field(None, description="Base address of the model's server; the vendor's own where unset.")
    llm_model: str | None = None
    llm_api_key: SecretStr | None = None
    ethereum_url: str | None = Field(
        None, repr=False, description="An Ethereum JSON-RPC endpoint; whatever key is in it is stored nowhere."
    )
    ethereum_api_key: SecretStr | None = Field(None, description="Sent as a bearer token where the endpoint asks so.")
    ethereum_requests_per_second: float = Field(10.0, ge=0)
    ethereum_confirmations: int = Field(12, ge=0, description="How deep a block must lie to be collected.")
    ethereum_blocks_per_request: int = Field(10_000, ge=1, description="Blocks of one eth_getLogs, to start with.")
    ethereum_pools_per_request: int = Field(1_000, ge=1, description="Addresses of one eth_getLogs.")
    ethereum_calls_per_request: int = Field(100, ge=1, description="Calls of one batch.")
    http_timeout_seconds: float = Field(30.0, gt=0)
    http_attempts: int = Field(6, ge=1, description="Tries of one request before it counts as failed.")
    universe: Path | None = Field(None, description="JSON list of the entities to collect; see docs/collectors.md.")
    collection_mode: Literal["live", "backfill"] = "backfill"
    first_day: str = Field("2019-01-01", description="First daily partition.")
    fixed_clock: datetime | None = Field(
        None, description="Observation time to record instead of the wall clock: for replays of an archive only."
    )
    keep_days: dict[str, int | None] = Field(
        {},
        description="Days that rows of a table stay, null for ever, where the table registry says otherwise: "
        '{"raw_records": 3650}.',
    )
    event_log_days: int | None = Field(
        30, ge=1, description="Days that Dagster's log of steps and engine stays after a run; unset: for ever."
    )
    disk_warning: float = Field(0.8, gt=0, le=1, description="Part of a disk in use at which operators are warned.")
    disk_critical: float = Field(0.9, gt=0, le=1, description="Part of a disk in use at which it is urgent.")
    api_host: str = Field("127.0.0.1", description="Where the API listens; this machine alone unless said otherwise.")
    api_port: int = Field(8787, ge=1, le=65_535)
    trusted_proxies: tuple[str, ...] = Field(
        (),
        description="Whose X-Forwarded-For the API believes, a JSON list of addresses and networks; unset: nobody's. "
        '["10.0.0.7", "192.168.7.0/24"].',
    )
    auth: Literal["required", "open"] = Field(
        "required", description="open: the API asks nobody who they are, and answers this machine alone."
    )
    firebase_project: str | None = Field(
        None, pattern=r"^[a-z0-9-]{1,63}$", description="Whose users' bearer tokens are taken; unset: keys alone."
    )
    firebase_issuer: str = Field("https://securetoken.google.com", description="The issuer, without the project.")
    firebase_keys_url: str = Field(
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
        description="The issuer's public keys, a JWKS.",
    )
    address_requests_per_hour: int = Field(20_000, ge=0, description="Of one address, whoever asks; 0 is no limit.")
    refused_credentials: int = Field(60, ge=1, description="Wrong keys or tokens of one address in ten minutes.")
    cors_origins: tuple[str, ...] = Field(
        (),
        description='Pages of which sites a browser lets read, a JSON list of exact origins: ["https://desk.example"].',
    )
    api_body_bytes: int = Field(1_000_000, ge=1, description="The largest body of a request.")
    api_body_seconds: float = Field(20.0, gt=0, le=25, description="How long the API waits for a body to be whole.")
    webserver_port: int = 3000
    webserver_url: str | None = Field(
        None, description="Dagster's webserver, which the API's jobs are launched by; this machine's where unset."
    )
    jobs_at_once: int = Field(4, ge=0, description="Jobs of the API in Dagster's hands at once; 0 launches none.")
    jobs_attempts: int = Field(3, ge=1, description="Tries of a job whose worker, database or Dagster failed it.")

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"cors_origins: {origin!r}: expected an origin as a browser writes it: https://host or"
                    " https://host:port in small letters, http of this machine alone; no path, no wildcard"
                )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: expected an address or a network: {error}") from error
        return value

    @field_validator("edgar_www_url", "edgar_data_url", "polygon_url")
    @classmethod
    def _url(cls, value: str) -> str:
        AnyHttpUrl(value)
        return value.rstrip("/")

    @field_validator("ethereum_url", "webserver_url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            AnyHttpUrl(value)
        return value

    @model_validator(mode="after")
    def _fair_access(self) -> Self:
        hosts = {urlsplit(url).hostname or "" for url in (self.edgar_www_url, self.edgar_data_url)}
        if not 0 < self.edgar_requests_per_second <= 10 and any(host.endswith("sec.gov") for host in hosts):
            raise ValueError("edgar_requests_per_second: the SEC allows at most 10")
        return self

    @model_validator(mode="after")
    def _retention(self) -> Self:
        for table, days in self.keep_days.items():
            if days is not None and days < 1:
                raise ValueError(f"keep_days: {table}: expected at least 1 day or null, found {days}")
        if self.disk_warning > self.disk_critical:
            raise ValueError("disk_warning: expected at most disk_critical")
        return self

    @field_validator("alert_webhooks", "alert_slack_url")
    @classmethod
    def _hooks(cls, value: tuple[SecretStr, ...] | SecretStr | None) -> tuple[SecretStr, ...] | SecretStr | None:
        for hook in (value,) if isinstance(value, SecretStr) else value or ():
            # The address itself is not shown: it is what lets anybody write there.
            if urlsplit(hook.get_secret_value()).scheme not in ("http", "https"):
                raise ValueError("a webhook: expected an http or https address")
        return value

    @model_validator(mode="after")
    def _open_at_home_alone(self) -> Self:
        if self.auth == "open" and self.api_host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"auth=open: an API beyond this machine asks who is there; api_host is {self.api_host!r}")
        if self.auth == "open" and self.trusted_proxies:
            raise ValueError("auth=open: it is for this machine alone, and trusted_proxies speak for others")
        return self

    @field_validator("fixed_clock")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("fixed_clock needs a time zone, such as 2025-07-01T00:00:00Z")
        return None if value is None else value.astimezone(UTC)

    @property
    def webserver_address(self) -> str:
        """Where Dagster's webserver answers."""
        return (self.webserver_url or f"http://127.0.0.1:{self.webserver_port}").rstrip("/")

    @property
    def home_dir(self) -> Path:
        """The state directory, absolute."""
        return self.home.expanduser().resolve()

    @property
    def archive_dir(self) -> Path:
        """Where raw bodies are archived by hash."""
        return self.home_dir / "archive"

    @property
    def artifacts_dir(self) -> Path:
        """Where snapshot parts and score grids live by hash."""
        return self.home_dir / "artifacts"

    @property
    def logs_dir(self) -> Path:
        """Where the services' logs are, a file a day each."""
        return self.home_dir / "logs"

    @property
    def reports_dir(self) -> Path:
        """Where reports of backtests are written, named by the run's hash."""
        return self.home_dir / "reports"

    @property
    def postgres_dir(self) -> Path:
        """The data directory of the embedded PostgreSQL, at AWS too where that is a second one."""
        return self.home_dir / ("postgres-aws" if self.place == "aws" else "postgres")

    @property
    def peer_postgres_dir(self) -> Path:
        """The data directory of the other home's embedded PostgreSQL."""
        return self.home_dir / ("postgres" if self.place == "aws" else "postgres-aws")


def load_settings() -> Settings:
    """Read the settings from the environment now."""
    return Settings()


def secret_values(settings: Settings) -> frozenset[str]:
    """Return every secret that this process was given: no log may hold one.

    The secrets among the settings, the passwords in addresses, and what the environment names as a key or token.
    """
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, SecretStr):
                found.add(one.get_secret_value())
            elif isinstance(one, str) and "://" in one:
                found.add(urlsplit(one).password or "")
    # A node's key stands in the path of its address.
    found.add(settings.ethereum_url or "")
    found |= {value for name, value in os.environ.items() if _KEY_NAME.fullmatch(name)}
    return frozenset(found - {""})


_KEY_NAME = re.compile(r"[A-Z][A-Z0-9_]*_(?:KEY|TOKEN)")


def read_key(name: str) -> SecretStr | None:
    """Return the secret that a row of a table names, as a setting of ours or of the environment; None where unset.

    Read when it is asked for: a new provider is a row and a variable, no field here. Nothing but what is named as a key
    is handed out, so that no row can have a database's address sent to a server of its choice.
    """
    if not _KEY_NAME.fullmatch(name):
        return None
    found = os.environ.get(f"SIGNALDELTA_{name}") or os.environ.get(name)
    return SecretStr(found) if found else None
