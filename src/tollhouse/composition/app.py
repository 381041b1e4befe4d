"""The gateway of one process, built from its settings.

`build_gateway` makes what every process needs. Module `web` puts together what speaks HTTP, `loops` the loops of a
worker, and `processes` starts and stops them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import as_file, files

import structlog

from tollhouse.api.origins import AllowedOrigins
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.billing.dependencies import BillingDependencies, RecordEvents
from tollhouse.billing.outcomes import ForecastSubscription, RecordRenewal
from tollhouse.billing.renewals.breaker import select_hour
from tollhouse.billing.subscribe import RecordSubscription
from tollhouse.catalog.access import Catalog
from tollhouse.composition.choices import (
    build_acquirer,
    build_mail_transport,
    build_sender,
    choose_consequences,
    choose_event_recorder,
    choose_limits,
    choose_sweeps,
)
from tollhouse.composition.payment_parts import PaymentParts
from tollhouse.composition.settings import Settings
from tollhouse.http.serving.metrics import Metrics
from tollhouse.ipn.message.lifecycle_events import build_event_rows
from tollhouse.ipn.store import select_outbox_state
from tollhouse.kernel.clock import DatabaseClock
from tollhouse.kernel.errors import SealBroken, TollhouseError
from tollhouse.ledger_check.store import count_violations
from tollhouse.merchants.access import MerchantAuthenticator
from tollhouse.merchants.clock import read_offsets
from tollhouse.merchants.secrets import IpnSecrets
from tollhouse.notices.store import count_waiting
from tollhouse.notices.transport import MailTransport
from tollhouse.payments.dependencies import PaymentTimeouts
from tollhouse.payments.model import Payment
from tollhouse.payments.reversals import count_late_approvals
from tollhouse.payments.store import begin_payments, count_unresolved, finish_payments
from tollhouse.phones.verify import PhoneDependencies, Quotas
from tollhouse.rates.access import Rates
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database, set_clock
from tollhouse.storage.ids import NumberBlocks, reserve_ids, update_installation
from tollhouse.storage.migrate import MigrationUnknown, migrate, pending
from tollhouse.storage.pools import Pools
from tollhouse.storage.sweep import Sweep, select_lags
from tollhouse.threeds.directory import DirectoryClient
from tollhouse.transport.model import Transport
from tollhouse.vault.key_check import check_keys
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.ring import KeyDirectoryUnsafe, SecurityCodeKeys, open_security_code_keys
from tollhouse.vault.security_codes import SWEEPS, SecurityCodes
from tollhouse.vault.tokens import TokenDependencies, flush_tokens
from tollhouse.vault.vault import Vault

#: IDs that a process reserves at a time.
ID_BLOCK = 1_000
#: Recording an outcome may take longer than beginning, because the money may have moved.
FINISH_TIMEOUT_SECONDS = 15.0
#: If the begin of a payment takes longer, the client gets 503, and nothing of its request is stored.
BEGIN_TIMEOUT_SECONDS = 3.0
DRAIN_TIMEOUT_SECONDS = 3.0


log = structlog.get_logger()


class ConfigurationError(TollhouseError):
    """The settings are incomplete or contradict each other."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The objects of one process."""

    settings: Settings
    pools: Pools
    #: The pool in use: payments, unless `for_worker` or `for_readers` chose another.
    database: Database
    parts: PaymentParts
    tokens: TokenDependencies
    authenticator: RequestAuthenticator
    vault: Vault
    metrics: Metrics
    secrets: IpnSecrets
    phones: PhoneDependencies
    #: None: no emails are written.
    mail_transport: MailTransport | None
    transport: Transport
    wake: asyncio.Event
    origins: AllowedOrigins
    billing: BillingDependencies
    #: Rows that are deleted when their retention ends.
    sweeps: Sequence[Sweep]

    async def check_ready(self) -> None:
        """Check that the database responds. Raises DatabaseUnavailable."""
        async with self.database.acquire() as connection:
            await connection.execute("select 1")

    def for_worker(self) -> Gateway:
        """Return this gateway on the connections of the worker's loops."""
        return self._on(self.pools.worker)

    def for_readers(self) -> Gateway:
        """Return this gateway on the connections for searches, which only read and may take long."""
        return self._on(self.pools.readers)

    def _on(self, database: Database) -> Gateway:
        parts = replace(self.parts, database=database)
        return replace(self, database=database, parts=parts, billing=_build_billing(parts, self.billing.tell))

    async def refresh_metrics(self) -> None:
        """Update the gauges, first those of this process. Raises DatabaseUnavailable."""
        for write_queue in (self.parts.begin_queue, self.parts.finish_queue, self.tokens.queue):
            self.metrics.queue_depth.labels(write_queue.name).set(write_queue.depth)
        async with self.pools.readers.acquire() as connection:
            outbox = await select_outbox_state(connection)
            unresolved = await count_unresolved(connection)
            late = await count_late_approvals(connection)
            violations = await count_violations(connection)
            emails = await count_waiting(connection)
            renewals = await select_hour(connection)
            lags = await select_lags(connection, self.sweeps)
        self.metrics.outbox_depth.set(outbox.depth)
        self.metrics.outbox_age.set(outbox.oldest_age.total_seconds())
        self.metrics.unresolved.set(unresolved)
        self.metrics.late_approvals.set(late.found)
        self.metrics.late_approvals_unreversed.set(late.unreversed)
        self.metrics.ledger_violations.set(violations)
        self.metrics.emails_waiting.set(emails)
        self.metrics.renewals_due.set(renewals.due)
        self.metrics.renewals_paused.set(renewals.paused_at is not None)
        for name, seconds in lags.items():
            self.metrics.sweep_lag.labels(name).set(seconds)


async def migrate_all(settings: Settings, dsn: str) -> list[str]:
    """Apply missing migrations of the gateway, and in stage of the simulator."""
    applied = await _migrate_package(dsn, schema="gateway", package="tollhouse.storage")
    if not settings.is_live:
        applied += await _migrate_package(dsn, schema="simulator", package="tollhouse.simulator")
    return applied


async def require_migrated(dsn: str, *, schema: str, package: str) -> None:
    """Raise ConfigurationError if migrations are missing on the database.

    A database newer than this program is accepted: in a rolling upgrade it is migrated before processes are replaced.
    """
    with as_file(files(package).joinpath("migrations")) as directory, suppress(MigrationUnknown):
        if await pending(dsn, schema=schema, directory=directory):
            raise ConfigurationError("The database lacks migrations. Run `tollhouse migrate`, then start again.")


async def _migrate_package(dsn: str, *, schema: str, package: str) -> list[str]:
    with as_file(files(package).joinpath("migrations")) as directory:
        return await migrate(dsn, schema=schema, directory=directory)


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    dsn: str,
    transport: Transport,
    *,
    directory_transport: Transport | None = None,
    seconds_to_drain: Callable[[], float] = lambda: DRAIN_TIMEOUT_SECONDS,
) -> AsyncIterator[Gateway]:
    """Build a gateway on a migrated database, and close it at the end. Raises ConfigurationError.

    `directory_transport` is a way of its own to the Directory; without one, `transport` leads there too.
    `seconds_to_drain` returns at the end the time left for work in progress.
    """
    keys = open_keys(settings)
    pools = await Pools.connect(dsn, schema="gateway", sizes=settings.pool_sizes)
    database = pools.payments
    await _set_installation(settings, database)
    gateway = build_gateway(settings, pools, Vault(keys), transport, directory_transport=directory_transport)
    await set_clock(gateway.parts.clock, database)
    await read_offsets(database, gateway.parts.clock)
    await gateway.parts.rates.refresh()
    try:
        await _check_keys(gateway)
        yield gateway
    finally:
        left = await gateway.parts.running.drain(seconds=seconds_to_drain())
        if left:
            log.warning("work.left_to_resolver", pieces=left)
        await gateway.phones.sender.close()
        await pools.close()


async def _set_installation(settings: Settings, database: Database) -> None:
    """Store the last two digits of this database's IDs, if they are set."""
    if settings.installation is not None:
        async with database.acquire() as connection:
            await update_installation(connection, settings.installation)


async def _check_keys(gateway: Gateway) -> None:
    """Raise ConfigurationError if the keys did not seal this database."""
    try:
        await gateway.secrets.probe()
        await check_keys(gateway.database, gateway.vault)
    except SealBroken:
        raise ConfigurationError(
            f"The keys in {gateway.settings.key_path} do not belong to this database. Restore the key file with "
            "which it was first used, or start with an empty database."
        ) from None


def open_keys(settings: Settings) -> FileKeyProvider:
    """Open the key file. Raises ConfigurationError in live, where keys must not be in a file."""
    if settings.is_live:
        raise ConfigurationError("Keys in a file are for stage; live needs a key provider outside this machine.")
    settings.key_path.parent.mkdir(parents=True, exist_ok=True)
    return FileKeyProvider.open(settings.key_path)


def open_vault(settings: Settings) -> Vault:
    """Open the vault with the existing keys. Raises ConfigurationError if there are none."""
    if not settings.key_path.is_file():
        raise ConfigurationError(
            f"Key file not found: {settings.key_path}. Set TOLLHOUSE_KEY_FILE or TOLLHOUSE_DATA_DIR."
        )
    return Vault(open_keys(settings))


def _open_ring(settings: Settings, vault: Vault) -> SecurityCodeKeys:
    """Open the key ring that the processes of this machine share. Each key file has its own."""
    try:
        return open_security_code_keys(settings.key_ring_dir, name=vault.keys.derive("ring name").hex()[:32])
    except KeyDirectoryUnsafe as error:
        raise ConfigurationError(f"TOLLHOUSE_KEY_RING_DIR: {error}") from None


def build_gateway(
    settings: Settings,
    pools: Pools | Database,
    vault: Vault,
    transport: Transport,
    *,
    directory_transport: Transport | None = None,
) -> Gateway:
    """Build a gateway on one pool for each purpose, or on one for all."""
    pools = Pools.share(pools) if isinstance(pools, Database) else pools
    database = pools.payments
    clock, metrics, wake, mail_transport = DatabaseClock(), Metrics(), asyncio.Event(), build_mail_transport(settings)
    security_codes = SecurityCodes(_open_ring(settings, vault))
    secrets = IpnSecrets(database, lambda merchant_id, sealed: vault.open_secret(sealed, bound_to=f"ipn|{merchant_id}"))
    parts = _build_parts(
        settings,
        database,
        clock=clock,
        vault=vault,
        security_codes=security_codes,
        transport=transport,
        directory=DirectoryClient(directory_transport or transport),
        mail_transport=mail_transport,
        ipn_secrets=secrets.of,
        on_finished=partial(_notify_finished, metrics, wake),
    )
    tokens = TokenDependencies(
        vault, Coalescer("tokens", partial(flush_tokens, clock), database, wait_seconds=BEGIN_TIMEOUT_SECONDS), clock
    )
    merchant_authenticator = MerchantAuthenticator(
        database, clock, environment=settings.environment, unknown_keys_by_address=settings.unknown_keys_by_address
    )
    return Gateway(
        settings=settings,
        pools=pools,
        database=database,
        parts=parts,
        tokens=tokens,
        authenticator=RequestAuthenticator(merchant_authenticator, trusted_proxies=settings.trusted_proxies),
        vault=vault,
        metrics=metrics,
        secrets=secrets,
        phones=PhoneDependencies(
            database,
            build_sender(settings),
            key=vault.keys.derive("phones"),
            quotas=Quotas(by_phone=settings.phone_codes_by_phone, by_merchant=settings.phone_codes_by_merchant),
            answer_seconds=settings.answer_seconds,
        ),
        mail_transport=mail_transport,
        transport=transport,
        wake=wake,
        origins=AllowedOrigins(database),
        billing=_build_billing(parts, choose_event_recorder(mail_transport)),
        sweeps=(*SWEEPS, *choose_sweeps(parts.limits)),
    )


def _build_parts(
    settings: Settings,
    database: Database,
    *,
    clock: DatabaseClock,
    vault: Vault,
    security_codes: SecurityCodes,
    transport: Transport,
    directory: DirectoryClient,
    mail_transport: MailTransport | None,
    ipn_secrets: Callable[[int], Awaitable[Sequence[str]]],
    on_finished: Callable[[Payment], None],
) -> PaymentParts:
    limits = choose_limits(settings)
    consequences = choose_consequences(mail_transport, limits)
    begin = partial(begin_payments, clock, (RecordSubscription(), RecordRenewal()), limits=limits)
    finish = partial(finish_payments, clock, consequences)
    acquirer = build_acquirer(settings, transport)
    numbers = _build_numbers(database)
    return PaymentParts(
        database=database,
        clock=clock,
        vault=vault,
        security_codes=security_codes,
        catalog=Catalog(database),
        rates=Rates(database),
        directory=directory,
        acquirers={acquirer.name: acquirer},
        numbers=numbers,
        begin_queue=Coalescer("begin", begin, database, wait_seconds=BEGIN_TIMEOUT_SECONDS),
        finish_queue=Coalescer("finish", finish, database, timeout_seconds=FINISH_TIMEOUT_SECONDS),
        consequences=consequences,
        forecast=ForecastSubscription(database, build_event_rows),
        mids=dict.fromkeys(settings.mids, acquirer.name),
        takes_test_mids=not settings.is_live,
        base_url=settings.public_url,
        ipn_secrets=ipn_secrets,
        on_finished=on_finished,
        timeouts=PaymentTimeouts(
            answer=settings.answer_seconds,
            margin=settings.resolver_margin_seconds,
            challenge=settings.challenge_seconds,
        ),
        limits=limits,
    )


def _build_billing(parts: PaymentParts, record_events: RecordEvents) -> BillingDependencies:
    return BillingDependencies(parts.lookups, parts.charging, parts.card_updates, record_events)


def _build_numbers(database: Database) -> NumberBlocks:
    async def reserve_block() -> int:
        async with database.acquire() as connection:
            return await reserve_ids(connection, "object", ID_BLOCK)

    return NumberBlocks(reserve_block, size=ID_BLOCK)


def _notify_finished(metrics: Metrics, wake: asyncio.Event, payment: Payment) -> None:
    metrics.count_outcome(mode=payment.mode.value, status=payment.status.value, code=payment.code or "")
    wake.set()
