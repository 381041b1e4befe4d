"""Commands about callbacks: rotation of IPN secrets, and sending many callbacks again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from tollhouse.cli.command import DataDir, read_settings, run
from tollhouse.composition import processes
from tollhouse.composition.app import ConfigurationError, open_vault
from tollhouse.composition.settings import Settings
from tollhouse.ipn.resend_many import ResendFilter, resend_events, select_last_sequence
from tollhouse.kernel.errors import SealBroken
from tollhouse.kernel.ids import MAX_ID
from tollhouse.kernel.urls import get_origin
from tollhouse.merchants.secrets import (
    DEFAULT_OVERLAP,
    MAX_OVERLAP,
    begin_rotation,
    cancel_rotation,
    find_merchant,
    finish_rotation,
    new_ipn_secret,
    select_rotation_end,
    select_sealed_secret,
)
from tollhouse.stage.demo import MERCHANT_ID
from tollhouse.storage.database import PlainConnection

ONE_HOUR = timedelta(hours=1)

#: Past the number of any event.

ipn_app = typer.Typer(help="Callbacks.", no_args_is_help=True)
secret_app = typer.Typer(help="IPN secrets, which sign callbacks.", no_args_is_help=True)

Merchant = Annotated[str, typer.Option(help="The merchant's ID or name.", show_default="the demo")]
Overlap = Annotated[
    int, typer.Option(help="Hours for which both secrets are valid.", min=0, max=MAX_OVERLAP // ONE_HOUR)
]

DEMO = str(MERCHANT_ID)


@secret_app.command("rotate")
def rotate(merchant: Merchant = DEMO, overlap: Overlap = DEFAULT_OVERLAP // ONE_HOUR, data_dir: DataDir = None) -> None:
    """Create a new IPN secret and print it once. For some hours the old one is valid too."""
    settings = read_settings(data_dir=data_dir)
    secret = new_ipn_secret()
    ends_at = run(_rotate(settings, merchant, secret, overlap * ONE_HOUR), settings)
    print(secret)
    if overlap:
        typer.echo(f"The old secret signs X-Signature until {_format_time(ends_at)} or `secret finish`.", err=True)
    else:
        typer.echo("The old secret is no longer valid.", err=True)


@secret_app.command("finish")
def finish(merchant: Merchant = DEMO, data_dir: DataDir = None) -> None:
    """Finish a rotation early, after your listener has the new secret: the old one is no longer valid."""
    settings = read_settings(data_dir=data_dir)
    run(_end_rotation(settings, merchant, is_finished=True), settings)
    print("Only the new secret is valid.")


@secret_app.command("cancel")
def cancel(merchant: Merchant = DEMO, data_dir: DataDir = None) -> None:
    """Cancel a rotation: the new secret is no longer valid, and the old one stays."""
    settings = read_settings(data_dir=data_dir)
    run(_end_rotation(settings, merchant, is_finished=False), settings)
    print("Only the old secret is valid.")


@secret_app.command("status")
def show_status(merchant: Merchant = DEMO, data_dir: DataDir = None) -> None:
    """Show whether a rotation is in progress, and when it ends."""
    settings = read_settings(data_dir=data_dir)
    ends_at = run(processes.run_on_connection(settings, partial(_read_rotation_end, merchant)), settings)
    print("No rotation is in progress." if ends_at is None else f"Two secrets are valid until {_format_time(ends_at)}.")


async def _rotate(settings: Settings, merchant: str, secret: str, overlap: timedelta) -> datetime:
    """Begin a rotation. Raises ConfigurationError if the keys are not those of the database."""
    vault = open_vault(settings)

    async def begin(connection: PlainConnection) -> datetime:
        merchant_id = await find_merchant(connection, merchant)
        try:
            vault.open_secret(
                await select_sealed_secret(connection, merchant_id=merchant_id), bound_to=f"ipn|{merchant_id}"
            )
        except SealBroken:
            raise ConfigurationError(
                f"The keys in {settings.key_path} do not belong to this database. Restore its key file."
            ) from None
        sealed = vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}")
        return await begin_rotation(connection, merchant_id=merchant_id, sealed=sealed, overlap=overlap)

    return await processes.run_on_connection(settings, begin)


async def _end_rotation(settings: Settings, merchant: str, *, is_finished: bool) -> None:
    async def end(connection: PlainConnection) -> None:
        merchant_id = await find_merchant(connection, merchant)
        await (finish_rotation if is_finished else cancel_rotation)(connection, merchant_id=merchant_id)

    await processes.run_on_connection(settings, end)


async def _read_rotation_end(merchant: str, connection: PlainConnection) -> datetime | None:
    return await select_rotation_end(connection, merchant_id=await find_merchant(connection, merchant))


def _format_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@ipn_app.command("resend")
def resend(
    *,
    merchant: Merchant = DEMO,
    after: Annotated[int, typer.Option(help="Events after this number.", min=0)] = 0,
    until: Annotated[
        int | None, typer.Option(help="Events up to this number.", min=0, show_default="the last one")
    ] = None,
    since: Annotated[datetime | None, typer.Option("--from", help="Events of that time or later, UTC.")] = None,
    before: Annotated[datetime | None, typer.Option("--to", help="Events before that time, UTC.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Callbacks to the scheme, host and port of this URL.", show_default="any")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also acknowledged callbacks.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Send callbacks of a range of events again: failed ones, or all. Deliveries in progress are left out."""
    settings = read_settings(data_dir=data_dir)
    filter_ = ResendFilter(
        after=after,
        until=MAX_ID if until is None else until,
        since=_to_utc(since),
        before=_to_utc(before),
        origin=None if endpoint is None else get_origin(endpoint),
        only_failed=not everything,
    )
    if filter_.origin == "invalid":
        raise typer.BadParameter("must be a URL that begins with http:// or https://", param_hint="--endpoint")
    total = run(_resend(settings, merchant, filter_), settings)
    print(f"{total} callback(s) sent again.")


async def _resend(settings: Settings, merchant: str, filter_: ResendFilter) -> int:
    """Send all batches again, each in its own database transaction. Print the progress and return the number sent."""

    async def read_range(connection: PlainConnection) -> tuple[int, int]:
        merchant_id = await find_merchant(connection, merchant)
        return merchant_id, await select_last_sequence(connection, merchant_id)

    total = 0
    async with processes.open_database(settings) as database:
        async with database.transaction() as connection:
            merchant_id, last = await read_range(connection)
        filter_ = replace(filter_, until=min(filter_.until, last))
        has_more = filter_.after < filter_.until
        while has_more:
            async with database.transaction() as connection:
                resent = await resend_events(connection, merchant_id=merchant_id, filter_=filter_)
            total, has_more = total + resent.count, resent.has_more
            skipped = f", {resent.skipped} left out after 100 deliveries" if resent.skipped else ""
            print(f"events {filter_.after + 1} to {resent.last}: {resent.count} sent again{skipped}", flush=True)
            filter_ = replace(filter_, after=resent.last)
    return total


def _to_utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=time.tzinfo or UTC)
