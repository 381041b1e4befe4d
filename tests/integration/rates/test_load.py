"""Loading rates: a file at a time, all of it or nothing, and the newest day counts."""

from __future__ import annotations

import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.commands import run_tollhouse
from tests.support.processes import build_environment

from tollhouse.kernel.money import Currency, Money
from tollhouse.rates.access import Rates
from tollhouse.rates.ecb import RatesUnreadable, load_shipped_table
from tollhouse.rates.model import convert
from tollhouse.rates.store import load_rates
from tollhouse.storage.database import Database

YEN = Currency.of("JPY")
NEWER = b"Date, USD, JPY, \n2 November 2026, 2, 100, \n"


def to_usd(rates: Rates, money: Money) -> Decimal | None:
    """Convert to US dollars at today's rate, in whole cents; None if no rate is known."""
    rate = rates.usd_per_unit(money.currency)
    return None if rate is None else convert(money, rate)


async def test_newest_table_applies(database: Database) -> None:
    """The built-in table applies until a newer one is loaded; an older one changes nothing."""
    rates = Rates(database)
    shipped = to_usd(rates, Money(1000, YEN))
    await load_rates(database, b"Date,USD,JPY\n2020-01-02,1,1\n")
    await rates.refresh()
    assert to_usd(rates, Money(1000, YEN)) == shipped
    await load_rates(database, NEWER)
    assert to_usd(rates, Money(1000, YEN)) == shipped
    await rates.refresh()
    assert to_usd(rates, Money(1000, YEN)) == 20
    assert rates.all()["JPY"].day is not None


async def test_a_table_is_of_one_day(database: Database) -> None:
    """A currency that the newest table has no longer has no rate, rather than one of another day."""
    await load_rates(database, NEWER)
    rates = Rates(database)
    await rates.refresh()
    assert to_usd(rates, Money(100, Currency.of("CHF"))) is None
    assert to_usd(rates, Money(100, Currency.of("XAU"))) is None
    assert to_usd(rates, Money(195583, Currency.of("BGN"))) == Decimal(2000)


async def test_the_same_day_may_be_corrected(database: Database) -> None:
    """A second file for the day of the shipped table stands before it."""
    day = load_shipped_table().day
    await load_rates(database, f"Date,USD,JPY\n{day},2,200\n".encode())
    rates = Rates(database)
    await rates.refresh()
    assert to_usd(rates, Money(1, Currency.of("EUR"))) == Decimal("0.02")


async def test_loading_twice_changes_nothing(database: Database) -> None:
    """The second time nothing changes; a corrected file changes what it corrects."""
    first, again = [await load_rates(database, NEWER) for _ in range(2)]
    assert (first.days, first.rates, first.changed, again.changed) == (1, 2, 2, 0)
    assert str(first.newest) == "2026-11-02"
    assert (await load_rates(database, NEWER.replace(b"100", b"101"))).changed == 1
    assert (await load_rates(database, b"Date,USD,CHF\n2026-11-02,2,1\n")).changed == 2
    assert await stored(database) == {("CHF", Decimal(1)), ("USD", Decimal(2))}


async def test_rubbish_changes_nothing(database: Database) -> None:
    """A file with one bad line leaves what was there, the good lines before it too; so does one of the future."""
    await load_rates(database, NEWER)
    before = await stored(database)
    for content in (b"Date,USD\n2026-11-03,3\n2026-11-04,-3\n", b"Date,USD\n2999-01-01,3\n"):
        with pytest.raises(RatesUnreadable):
            await load_rates(database, content)
    assert await stored(database) == before


@pytest.mark.slow
def test_the_command_says_what_it_did(database_dsn: str, tmp_path: Path) -> None:
    """`tollhouse rates load` loads a file, and says in a sentence why it could not."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_bytes(NEWER)
    bad.write_bytes(b"hello")
    for file, code, text in (
        (good, 0, "1 day(s), 2 rates, the newest of 2026-11-02: 2 changed"),
        (good, 0, "nothing changed"),
        (bad, 1, "does not begin with Date"),
        (tmp_path / "none.csv", 1, "No such file"),
    ):
        done = run_command("rates", "load", str(file), database_url=database_dsn)
        assert done.returncode == code, done.stderr
        assert text in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def run_command(*arguments: str, database_url: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on a database."""
    return run_tollhouse(*arguments, environment=build_environment(TOLLHOUSE_DATABASE_URL=database_url))


async def stored(database: Database) -> set[tuple[str, Decimal]]:
    """Return what stands in the database."""
    async with database.acquire() as connection:
        return {(row["currency"], row["rate"]) for row in await connection.fetch("select * from exchange_rate")}
