"""The commands: each reads its settings and runs a process."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from itertools import repeat
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from tollhouse import __version__
from tollhouse.billing.renewals.breaker import Hour, resume_renewals, select_hour
from tollhouse.cli import listen as listening
from tollhouse.cli.callbacks import ipn_app, secret_app
from tollhouse.cli.command import DEFAULTS, DataDir, print_error, read_settings, run
from tollhouse.cli.trigger import can_be_sent
from tollhouse.cli.trigger import trigger as send_samples
from tollhouse.composition import processes
from tollhouse.composition.processes import run_serve
from tollhouse.composition.settings import Settings
from tollhouse.composition.supervisor import Inherited
from tollhouse.ipn.message.samples import KINDS
from tollhouse.ipn.number import skip_after_restore
from tollhouse.kernel.money import Currency
from tollhouse.ledger_check.verify import MAX_VIOLATIONS, LedgerReport
from tollhouse.stage.demo import Demo

app = typer.Typer(
    help="A card payment gateway you run yourself.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

rates_app = typer.Typer(help="Exchange rates.", no_args_is_help=True)
app.add_typer(rates_app, name="rates")

renewals_app = typer.Typer(help="Renewals of subscriptions.", no_args_is_help=True)
app.add_typer(renewals_app, name="renewals")

app.add_typer(secret_app, name="secret")
app.add_typer(ipn_app, name="ipn")

ledger = typer.Typer(help="The ledger.", no_args_is_help=True)
app.add_typer(ledger, name="ledger")

#: Shown in the banner; the whole list is in docs/reference/test-cards.md.
CARDS_TO_TRY = (
    ("4024007179366348", "approves"),
    ("4000000050510009", "declines: insufficient funds"),
    ("4000000000002503", "requires 3-D Secure; the code is 123456"),
)

#: Width of the table of balances, which holds three sums of any currency.
MIN_LEDGER_WIDTH_COLUMNS = 160

Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default=DEFAULTS.host)]
Port = Annotated[int | None, typer.Option(help="Port to listen on.", show_default=str(DEFAULTS.port))]
HealthHost = Annotated[
    str | None, typer.Option(help="Address for health and metrics.", show_default=DEFAULTS.health_host)
]
HealthPort = Annotated[
    int | None, typer.Option(help="Port for health and metrics.", show_default="1000 above the port")
]
Processes = Annotated[
    str | None,
    typer.Option(help="Processes that share the port: a number, or `auto` for one per processor.", show_default="1"),
]
WorkerHealthPort = Annotated[int | None, typer.Option(help="Port for health and metrics.", show_default="none")]
Secret = Annotated[str | None, typer.Option(help="IPN secret.", show_default="the demo's")]
LogRequests = Annotated[bool | None, typer.Option("--log-requests/--no-log-requests", help="Log each request.")]


def _complete_kind(begun: str) -> list[str]:
    return [kind for kind in (*KINDS, "all") if kind.startswith(begun)]


class SampleForm(StrEnum):
    """The format of a sample callback."""

    JSON = "json"
    LEGACY = "legacy"


def main() -> None:
    """Run the command line as `tollhouse`."""
    app(prog_name="tollhouse")


def _show_version(is_wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if is_wanted:
        print(f"tollhouse {__version__}")
        raise typer.Exit


@app.callback()
def set_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A card payment gateway you run yourself."""


@app.command()
def dev(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    health_host: HealthHost = None,
    health_port: Annotated[int | None, typer.Option(help="Port for health and metrics.", show_default="--port")] = None,
    *,
    log_requests: LogRequests = None,
) -> None:
    """Run the whole gateway in one process: database, API, pages, worker and simulator."""
    settings = read_settings(
        host=host,
        port=port,
        data_dir=data_dir,
        health_host=health_host,
        health_port=health_port,
        log_requests=log_requests,
    )
    run(processes.run_dev(settings, _print_demo), settings)


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    health_host: HealthHost = None,
    health_port: HealthPort = None,
    processes: Processes = None,
    *,
    log_requests: LogRequests = None,
    inherited: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the API and the pages. Any number of processes can run."""
    settings = read_settings(
        host=host,
        port=port,
        health_host=health_host,
        health_port=health_port,
        processes=processes,
        log_requests=log_requests,
    )
    run(run_serve(settings, Inherited.parse(inherited) if inherited else None), settings)


@app.command()
def work(health_host: HealthHost = None, health_port: WorkerHealthPort = None) -> None:
    """Run the worker: deliver callbacks, resolve unknown outcomes. Any number of processes can run."""
    settings = read_settings(health_host=health_host, health_port=health_port)
    run(processes.run_work(settings), settings)


@app.command()
def simulate(host: Host = None, port: Port = None) -> None:
    """Run the simulator alone. Stage only."""
    settings = read_settings(host=host, port=port)
    run(processes.run_simulate(settings), settings)


@app.command()
def migrate() -> None:
    """Apply missing migrations to the database, once per release."""
    settings = read_settings()
    applied = run(processes.run_migrate(settings), settings)
    Console().print("\n".join(f"applied {name}" for name in applied) or "nothing to apply", highlight=False)


@app.command()
def restored(data_dir: DataDir = None) -> None:
    """Skip numbers and IDs that were used after a backup. Run this on a restored database before anything else."""
    settings = read_settings(data_dir=data_dir)
    merchants = run(processes.run_on_connection(settings, skip_after_restore), settings)
    text = f"Event numbers of {merchants:,} merchant(s) continue after the next multiple of 1,000,000,000."
    Console().print(text, highlight=False)


@rates_app.command("load")
def load_rates(
    file: Annotated[Path, typer.Argument(help="XML or CSV of the European Central Bank.")], data_dir: DataDir = None
) -> None:
    """Load a file of reference rates, either all of it or nothing."""
    settings = read_settings(data_dir=data_dir)
    loaded = run(processes.run_load_rates(settings, file), settings)
    changed = f"{loaded.changed} changed" if loaded.changed else "nothing changed"
    text = f"{loaded.days} day(s), {loaded.rates} rates, the newest of {loaded.newest}: {changed}"
    Console().print(text, highlight=False)


@renewals_app.command("status")
def show_renewals(data_dir: DataDir = None) -> None:
    """Show the renewals of this hour and those due now. Exit with status 1 if renewals are paused."""
    settings = read_settings(data_dir=data_dir)
    hour = run(processes.run_on_connection(settings, select_hour), settings)
    _print_hour(hour)
    raise typer.Exit(1 if hour.paused_at else 0)


@renewals_app.command("resume")
def resume(data_dir: DataDir = None) -> None:
    """Resume paused renewals and charge everything now due."""
    settings = read_settings(data_dir=data_dir)
    _print_hour(run(processes.run_on_connection(settings, resume_renewals), settings))


@ledger.command()
def verify(data_dir: DataDir = None) -> None:
    """Verify the ledger. List violations and exit with status 1 if any are found."""
    settings = read_settings(data_dir=data_dir)
    report = run(processes.run_verify(settings), settings)
    _print_ledger(report)
    raise typer.Exit(1 if report.violations else 0)


@app.command()
def listen(
    forward_to: Annotated[str | None, typer.Option(help="URL to which each callback is forwarded.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = listening.DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret: Secret = None,
    data_dir: DataDir = None,
    *,
    print_bodies: Annotated[bool, typer.Option("--print", help="Print the body of each callback.")] = False,
) -> None:
    """Receive callbacks, print them, verify their signatures and forward them."""
    settings = read_settings(data_dir=data_dir)
    work = listening.listen(
        forward_to=forward_to,
        host=host,
        port=port,
        secret=secret,
        data_directory=settings.data_dir,
        shows_bodies=print_bodies,
    )
    run(work, settings)


@app.command()
def trigger(
    kind: Annotated[str, typer.Argument(help=f"{', '.join(KINDS)}; or all.", autocompletion=_complete_kind)] = KINDS[0],
    to: Annotated[str, typer.Option(help="URL of the listener.")] = f"http://127.0.0.1:{listening.DEFAULT_PORT}/",
    form: Annotated[SampleForm, typer.Option("--format", help="Format of the callback.")] = SampleForm.JSON,
    secret: Secret = None,
    data_dir: DataDir = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="For a declined transaction.")] = False,
) -> None:
    """Send a sample callback, correctly signed, to a listener. Exit with status 1 unless it is acknowledged."""
    settings = read_settings(data_dir=data_dir)
    if kind not in {*KINDS, "all"}:
        raise typer.BadParameter(f"must be one of {', '.join(KINDS)}, or all", param_hint="KIND")
    signing = secret or listening.read_demo_secret(settings.data_dir)
    if signing is None:
        print_error("--secret is missing. Give it, or start the demo first.")
        raise typer.Exit(2)
    kinds = [each for each in KINDS if can_be_sent(each, form=form.value, failed=failed)] if kind == "all" else [kind]
    sent = run(send_samples(kinds, url=to, secret=signing, form=form.value, failed=failed), settings)
    for each in sent:
        print(f"{each.kind:<28} {each.status}  {each.milliseconds} ms")
    raise typer.Exit(0 if all(each.is_acknowledged for each in sent) else 1)


def _print_ledger(report: LedgerReport) -> None:
    """Print balances by currency and account, and violations."""
    table = Table("Currency", "Account", "Debits", "Credits", "Balance", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for balance in report.balances:
        table.add_row(
            balance.currency, balance.account.value, *map(_format_minor, balance.columns, repeat(balance.currency))
        )
    console = Console(highlight=False)
    # The table may be wider than the terminal, so that amounts are not cut off.
    Console(highlight=False, width=max(console.width, MIN_LEDGER_WIDTH_COLUMNS)).print(table)
    console.print(f"{report.entries:,} entries of {report.transactions:,} transactions.")
    for violation in report.violations:
        console.print(str(violation), style="red", markup=False, soft_wrap=True)
    more = " or more" if len(report.violations) >= MAX_VIOLATIONS else ""
    console.print(f"{len(report.violations)}{more} violations." if report.violations else "No violations.")


def _print_hour(hour: Hour) -> None:
    text = f"{hour.begun:,} renewals this hour, of at most {hour.limit:,}; {hour.due:,} due now."
    Console(highlight=False).print(text)
    if hour.paused_at:
        print_error(f"Renewals are paused since {hour.paused_at:%Y-%m-%d %H:%M} UTC. Run `tollhouse renewals resume`.")


def _format_minor(amount_minor: int, currency: str) -> str:
    exponent = Currency.of(currency).exponent
    return f"{Decimal(amount_minor).scaleb(-exponent):,f}"


def _print_demo(demo: Demo, settings: Settings) -> None:
    """Print everything needed for the first payment."""
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("Base URL", demo.baseUrl),
        ("API key", demo.apiKey),
        ("IPN secret", demo.ipnSecret),
        ("Site", demo.siteId),
        ("Portal", f"{demo.portal.url}   {demo.portal.email}   {demo.portal.password}"),
        ("Inbox", f"{demo.baseUrl}/stage/inbox"),
        ("API reference", f"{demo.baseUrl}/docs"),
    ):
        facts.add_row(f"[bold]{name}[/]", value)
    facts.add_row("", "")
    for number, what in CARDS_TO_TRY:
        facts.add_row("[bold]Card[/]" if number == CARDS_TO_TRY[0][0] else "", f"{number}   {what}")
    console = Console(highlight=False)
    console.print(Panel(facts, title="Tollhouse, stage", title_align="left", border_style="dim", expand=False))
    console.print("First payment:\n", style="bold")
    console.print(FIRST_PAYMENT.format(demo=demo), soft_wrap=True, markup=False)
    console.print(
        f"The same values are in {settings.data_dir / 'demo.json'}. Stop with Ctrl-C.", style="dim", markup=False
    )


FIRST_PAYMENT = """\
curl {demo.baseUrl}/payment \\
  -H 'Authorization: {demo.apiKey}' \\
  -H 'Content-Type: application/json' \\
  -d '{{
    "paymentSource": {{"type": "card", "number": "4024007179366348", "expirationMonth": "12", "expirationYear": "30",
                      "cvv": "009"}},
    "sku": {{"siteId": "{demo.siteId}", "title": "First payment",
            "price": [{{"offset": "0d", "amount": 19.99, "currency": "USD", "repeat": false}}]}},
    "consumer": {{"id": "user-00123", "firstName": "Jane", "lastName": "Smith", "ip": "203.0.113.45"}}
  }}'
"""
