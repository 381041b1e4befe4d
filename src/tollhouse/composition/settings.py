"""The settings, read once from the environment. Only `composition` and `cli` import them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    IPvAnyAddress,
    IPvAnyNetwork,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tollhouse.composition.variables import check_base_url, check_database_url, check_host
from tollhouse.http.serving.ports import OpenPort, build_url
from tollhouse.kernel.addresses import normalize_network, parse_address
from tollhouse.kernel.urls import STAGE, AddressPolicy, build_live_policy
from tollhouse.notices.model import is_address
from tollhouse.notices.transport import Server, parse_server
from tollhouse.storage.pools import PoolSizes

LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))

PhoneChannel = Literal["sms", "call", "whatsapp"]
#: A secret that is too long to be guessed.
LongSecret = Annotated[SecretStr, Field(min_length=16)]
#: A SHA-256 in hexadecimal, with or without colons.
Fingerprint = Annotated[
    str,
    AfterValidator(lambda text: text.replace(":", "").lower()),
    StringConstraints(pattern=r"^(?:[0-9A-Fa-f]{2}:?){32}$"),
]
BaseUrl = Annotated[str, AfterValidator(check_base_url)]
Host = Annotated[str, AfterValidator(check_host)]
DatabaseUrl = Annotated[str, AfterValidator(check_database_url)]
#: In one spelling: an IPv6 network that holds IPv4 addresses becomes their IPv4 network.
AnyNetwork = Annotated[IPvAnyNetwork, AfterValidator(normalize_network)]
AnyAddress = Annotated[IPvAnyAddress, AfterValidator(lambda address: parse_address(str(address)))]


class Settings(BaseSettings):
    """Every setting is an environment variable with the prefix `TOLLHOUSE_`."""

    model_config = SettingsConfigDict(env_prefix="TOLLHOUSE_", frozen=True, extra="ignore", env_ignore_empty=True)

    #: The kind of this deployment. The two differ in hosts, keys and databases, never in code.
    environment: Literal["stage", "live"] = "stage"
    #: The URL of PostgreSQL; without it `tollhouse dev` starts an embedded one.
    database_url: DatabaseUrl | None = None
    #: Connections that one process may use for payments; it keeps four of them open.
    database_connections: int = Field(10, ge=2, le=200)
    #: Connections of one process for the worker's loops.
    database_worker_connections: int = Field(6, ge=2, le=200)
    #: Connections of one process for searches, the portal and metrics.
    database_reader_connections: int = Field(4, ge=1, le=200)
    #: Seconds after which the database server ends a statement of a search.
    database_reader_timeout_seconds: float = Field(5.0, gt=0, le=600)
    #: The two digits that end every ID, 0 to 99; by default drawn once for each database. They must differ between two
    #: databases that use the same acquirer account.
    installation: int | None = Field(None, ge=0, le=99)
    #: The directory of the embedded database, the key file and `demo.json`.
    data_dir: Path = Path(".tollhouse")
    #: Processes of `serve` that share the port: a number up to 64, or `auto` for one a processor. Limits that are
    #: kept in memory are divided among them.
    processes: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = 1
    #: The address on which a process listens.
    host: Host = "127.0.0.1"
    #: The port on which a process listens.
    port: int = Field(8080, ge=0, le=65_535)
    #: The address on which health and metrics are served.
    health_host: Host = "127.0.0.1"
    #: The separate port of `/healthz`, `/readyz` and `/metrics`. By default 1,000 above the port of `serve`, and of
    #: `dev` if other machines reach that; none for `work`; `dev` on loopback serves them on its only port.
    health_port: int | None = Field(None, ge=0, le=65_535)
    #: Seconds from SIGTERM, when `/readyz` becomes 503, to the closing of the port. By default 5 for `serve`, 0 for
    #: `dev`.
    drain_seconds: float | None = Field(None, ge=0, le=300)
    #: The URL at which browsers and the Directory Server reach this gateway; by default its own address.
    base_url: BaseUrl | None = None
    #: The URL of the simulator, for `serve` and `work` in stage; `dev` has it in the same process.
    simulator_url: BaseUrl | None = None
    #: The URL at which `simulate` listens, and at which browsers reach the bank's pages.
    simulator_base_url: BaseUrl | None = None
    #: A secret of `simulate`, `serve` and `work`: the simulator rejects requests without it. At least 16 characters;
    #: `dev` generates one.
    simulator_secret: LongSecret | None = None
    #: The secret that the Directory Server sends with results of challenges, in `Authorization` after `Bearer`. By
    #: default in stage the simulator's secret.
    directory_secret: LongSecret | None = None
    #: SHA-256 fingerprints of client certificates of the Directory Server, separated by commas; a trusted proxy passes
    #: the certificate on in `Client-Cert` (RFC 9440).
    directory_certificates: Annotated[tuple[Fingerprint, ...], NoDecode] = ()
    #: The key file; by default `keys.json` in the data directory. Stage only.
    key_file: Path | None = None
    #: The directory in memory (tmpfs) in which the processes of one machine share the keys of security codes during 3-D
    #: Secure challenges. By default `/dev/shm`; if that is not a tmpfs, each process keeps its own keys.
    key_ring_dir: Path | None = None
    #: `simulated`, or `approving`, which approves everything in process, for measurements. Stage only.
    acquirer: Literal["simulated", "approving"] = "simulated"
    #: Acquirer accounts that a request may name as its `mid`, separated by commas.
    mids: Annotated[tuple[str, ...], NoDecode] = ()
    #: Networks of proxies whose X-Forwarded-For is trusted, separated by commas.
    trusted_proxies: Annotated[tuple[AnyNetwork, ...], NoDecode] = ()
    #: Connections that one address, or one /64 network of IPv6, may hold open; 0 is no limit. Trusted proxies are
    #: exempt.
    connections_per_address: int = Field(256, ge=0, le=65_536)
    #: Source addresses of callbacks, separated by commas, for `GET /ips`. By default loopback in stage.
    egress_addresses: Annotated[tuple[AnyAddress, ...], NoDecode] = ()
    #: Private networks to which callbacks are allowed in live, separated by commas. Stage allows loopback and all
    #: private networks.
    callback_networks: Annotated[tuple[AnyNetwork, ...], NoDecode] = ()
    #: Callbacks that one worker sends at a time. A merchant gets a quarter of these, and slow endpoints share a half.
    callback_places: int = Field(512, ge=16, le=4_096)
    #: Callbacks at a time to one endpoint of a merchant: scheme, host and port.
    callback_places_by_endpoint: int = Field(4, ge=1, le=64)
    #: Callbacks at a time of one merchant to one address, from one worker.
    callback_places_by_address: int = Field(16, ge=1, le=256)
    #: The URL to which messages to phones are posted: your endpoint that calls a provider. By default none; stage shows
    #: the messages in its inbox page.
    phone_sender_url: BaseUrl | None = None
    #: The key that this endpoint receives in `Authorization`, after `Bearer`.
    phone_sender_key: SecretStr | None = None
    #: The channels of this endpoint, separated by commas.
    phone_channels: Annotated[tuple[PhoneChannel, ...], NoDecode] = ("sms",)
    #: Codes an hour to one phone of a merchant; 0 is no limit.
    phone_codes_by_phone: int = Field(5, ge=0)
    #: Codes an hour of one merchant; 0 is no limit.
    phone_codes_by_merchant: int = Field(600, ge=0)
    #: The mail server for emails to consumers: `smtps://user:password@host:port`, `smtp://` for STARTTLS, which is then
    #: required, or `smtp+plain://` for no protection. By default none; stage shows emails in its inbox page.
    smtp_url: SecretStr | None = None
    #: The sender address of emails; required with the server.
    smtp_from: str | None = None
    #: Seconds until a client gets `pending` for a payment that continues.
    answer_seconds: float = Field(20.0, gt=0)
    #: Seconds until an open challenge is abandoned.
    challenge_seconds: float = Field(900.0, gt=0)
    #: Seconds that a request to the acquirer may take.
    acquirer_timeout_seconds: float = Field(35.0, gt=0)
    #: Seconds after which a request that the acquirer does not know can no longer arrive there.
    acquirer_longest_delay_seconds: float = Field(45.0, gt=0)
    #: Seconds from the beginning of a payment in which its request to the acquirer must be sent; after them it is not
    #: sent. The resolver handles an attempt whose process is silent after them and the acquirer's time-out.
    resolver_margin_seconds: float = Field(10.0, gt=0)
    #: Calls of `/tokenize` a minute from one address; 0 is no limit. By default none in stage.
    tokenize_by_address: int | None = Field(None, ge=0)
    #: The same from one network: /24 of IPv4, /64 of IPv6.
    tokenize_by_network: int | None = Field(None, ge=0)
    #: The same with one card.
    tokenize_by_card: int | None = Field(None, ge=0)
    #: The same with one API key, instead of address and network.
    tokenize_by_key: int | None = Field(None, ge=0)
    #: Unknown API keys a minute from one address, beyond which the response is 429; 0 is no limit.
    unknown_keys_by_address: int = Field(30, ge=0)
    #: Seconds for which payments count against the velocity limits; see the how-to.
    velocity_window_seconds: float = Field(3_600.0, gt=0, le=604_800)
    #: Payments of one consumer within the window; 0 is no limit. By default none in stage, in live 30.
    velocity_attempts_by_consumer: int | None = Field(None, ge=0, le=10_000)
    #: Payments with one card within the window. By default none in stage, in live 30.
    velocity_attempts_by_card: int | None = Field(None, ge=0, le=10_000)
    #: Payments from one address within the window. By default none in stage, in live 300.
    velocity_attempts_by_address: int | None = Field(None, ge=0, le=10_000)
    #: Declines of one consumer's payments within the window. By default none in stage, in live 10.
    velocity_declines_by_consumer: int | None = Field(None, ge=0, le=10_000)
    #: Declines of payments with one card within the window. By default none in stage, in live 10.
    velocity_declines_by_card: int | None = Field(None, ge=0, le=10_000)
    #: Declines of payments from one address within the window. By default none in stage, in live 50.
    velocity_declines_by_address: int | None = Field(None, ge=0, le=10_000)
    #: True to log each request. By default yes for `serve`, no for `dev`.
    log_requests: bool | None = None
    #: `json`, or `console` for people; by default the latter on a terminal.
    log_format: Literal["json", "console"] | None = None
    #: The lowest level that is logged.
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator(
        "directory_certificates",
        "trusted_proxies",
        "egress_addresses",
        "callback_networks",
        "mids",
        "phone_channels",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("smtp_url")
    @classmethod
    def _check_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parse_server(url.get_secret_value())
        return url

    @field_validator("smtp_from")
    @classmethod
    def _check_from(cls, address: str | None) -> str | None:
        if address is not None and not is_address(address):
            raise ValueError("must be one email address")
        return address

    @model_validator(mode="after")
    def _check_acquirer(self) -> Self:
        if self.is_live and self.acquirer == "approving":
            raise ValueError("TOLLHOUSE_ACQUIRER: `approving` approves everything and is for stage only")
        return self

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        if self.smtp_url is not None and self.smtp_from is None:
            raise ValueError("TOLLHOUSE_SMTP_FROM is required with TOLLHOUSE_SMTP_URL")
        return self

    @property
    def mail(self) -> tuple[Server, str] | None:
        """The mail server and the sender address of emails, or None."""
        if self.smtp_url is None or self.smtp_from is None:
            return None
        return parse_server(self.smtp_url.get_secret_value()), self.smtp_from

    @model_validator(mode="after")
    def _check_certificates(self) -> Self:
        if self.directory_certificates and not self.trusted_proxies:
            raise ValueError("TOLLHOUSE_TRUSTED_PROXIES is required with TOLLHOUSE_DIRECTORY_CERTIFICATES")
        return self

    @property
    def directory_key(self) -> str | None:
        """The secret of the Directory Server, or None if only its certificate is accepted."""
        secret = self.directory_secret or (None if self.is_live else self.simulator_secret)
        return secret.get_secret_value() if secret else None

    @property
    def is_live(self) -> bool:
        """Whether this deployment charges real cards."""
        return self.environment == "live"

    @property
    def pool_sizes(self) -> PoolSizes:
        """The sizes of the connection pools."""
        return PoolSizes(
            payments=self.database_connections,
            worker=self.database_worker_connections,
            readers=self.database_reader_connections,
            reader_timeout_seconds=self.database_reader_timeout_seconds,
        )

    @property
    def egress(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """The addresses that `GET /ips` lists."""
        return self.egress_addresses or (() if self.is_live else LOOPBACK)

    @property
    def address_policy(self) -> AddressPolicy:
        """The policy for URLs that merchants give."""
        return build_live_policy(self.callback_networks) if self.is_live else STAGE

    @property
    def key_path(self) -> Path:
        """The path of the key file."""
        return self.key_file or self.data_dir / "keys.json"

    def at(self, port: OpenPort) -> Settings:
        """Return these settings with the address and port that the process has bound."""
        base_url = self.base_url or port.url
        bank_url = f"{self.base_url or port.other_url}/simulator"
        changes = {"base_url": base_url, "simulator_base_url": self.simulator_base_url or bank_url}
        return self.model_copy(update={"port": port.number, **changes})

    @property
    def public_url(self) -> str:
        """The URL at which browsers and the Directory Server reach this gateway."""
        return self.base_url or build_url(self.host, self.port)
