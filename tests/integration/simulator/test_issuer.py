"""The issuer through the gateway's connector: one effect for each reference, and a journal that says so."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.simulator.conftest import BASE_URL
from tests.support.database import CountingDatabase
from tests.support.issuing import areq, encode, number_of, operation, order, proof_of

from tollhouse.acquirers.model import Approved, Authorization, Declined, Finding, ReferenceUnknown, Reversed, Unknown
from tollhouse.acquirers.simulated import SimulatedAcquirer
from tollhouse.kernel.card import Card, CardNumber, Expiry
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.errors import NotFound as NoSuchPath
from tollhouse.kernel.money import Currency, Money
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.storage.database import Database


async def read_journal(simulator: Simulator) -> dict[str, dict[str, Any]]:
    """Return the journal's entries by reference."""
    answer = await simulator.handle("/control/journal", b'{"limit":1000}')
    assert isinstance(answer, bytes)
    return {entry["reference"]: entry for entry in json.loads(answer)["entries"]}


async def authenticate(simulator: Simulator, name: str, amount_minor: int = 1999, **changes: Any) -> dict[str, Any]:
    """Send an AReq and return the ARes."""
    answer = await simulator.handle("/directory", encode(areq(name, amount_minor, **changes)))
    assert isinstance(answer, bytes)
    ares: dict[str, Any] = json.loads(answer)
    return ares


async def test_an_approval_is_journalled(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The issuer's journal has what was approved, with a masked number, before the answer is there."""
    sale = order(amount_minor=1234, currency="EUR")
    answer = await acquirer.authorize(sale)
    entry = (await read_journal(simulator))[sale.reference]

    assert isinstance(answer, Approved)
    assert entry["approvalCode"] == answer.approval_code
    assert entry["networkTransactionId"] == answer.network_transaction_id
    assert entry["amount"] == {"minor": 1234, "currency": "EUR"}
    assert (entry["kind"], entry["number"], entry["card"]) == ("sale", "402400****6348", "visa")
    assert (entry["deliveries"], entry["reversedAt"]) == (1, None)


@pytest.mark.parametrize(("name", "frames"), [("visa", 0), ("decline_51", 0), ("balance", 1)])
async def test_unconditional_authorization_is_one_statement(database_dsn: str, name: str, frames: int) -> None:
    """One durable statement journals an authorization; a balance change is in the same database transaction."""
    database = await CountingDatabase.connect(database_dsn, schema="simulator", max_size=1)
    acquirer = SimulatedAcquirer(InProcessTransport(Simulator(database, base_url=BASE_URL)))
    await acquirer.authorize(order())  # the driver asks for the types that it does not know yet
    database.statements.clear()
    await acquirer.authorize(order(name))
    await database.close()
    assert database.statements.count("BEGIN;") == frames
    assert frames or len(database.statements) == 1


async def test_journal_distinguishes_kinds(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The journal distinguishes sale, authorization and verification; the last is approved with 85."""
    held, verified = order(capture=False), order(amount_minor=0, capture=False)
    await acquirer.authorize(held)
    answer = await acquirer.authorize(verified)
    journal = await read_journal(simulator)

    assert journal[held.reference]["kind"] == "authorization"
    assert journal[verified.reference]["kind"] == "verification"
    assert isinstance(answer, Approved)
    assert answer.response_code == "85"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("decline_51", Declined("51")),
        ("decline_n7", Declined("N7")),
        ("advice_03", Declined("05", "03")),
        ("challenge", Declined("1A")),
        ("challenge_mastercard", Declined("65")),
        ("unavailable", Declined("1A")),
    ],
)
async def test_card_declines_with_its_code(acquirer: SimulatedAcquirer, name: str, expected: Declined) -> None:
    """A card declines with its codes; a 3-D Secure card requires authentication."""
    assert await acquirer.authorize(order(name)) == expected


async def test_an_unpublished_number(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A number that is not published declines 14, and stands masked in the journal."""
    sale = order(card=Card(CardNumber("4242424242424242"), Expiry(1, 2030)))

    assert await acquirer.authorize(sale) == Declined("14")
    entry = (await read_journal(simulator))[sale.reference]
    assert (entry["number"], entry["card"], entry["approved"]) == ("424242****4242", None, False)


async def test_an_emulated_code(acquirer: SimulatedAcquirer) -> None:
    """The code that a request emulates is the answer."""
    assert await acquirer.authorize(order(emulate_code="5210")) == Declined("R0")
    assert isinstance(await acquirer.authorize(order("decline_51", emulate_code="0000")), Approved)


async def test_no_number_is_stored(
    simulator: Simulator, acquirer: SimulatedAcquirer, simulator_database: Database
) -> None:
    """No table of the simulator has a card number or a security code, whatever came in."""
    await acquirer.authorize(order("visa"))
    await acquirer.authorize(order("balance"))
    await authenticate(simulator, "challenge")
    async with simulator_database.acquire() as connection:
        names = await connection.fetch("select tablename from pg_tables where schemaname = 'simulator'")
        texts = [
            str(row[0])
            for name in names
            for row in await connection.fetch(f"select t::text from simulator.{name[0]} t")  # noqa: S608 - test data
        ]

    assert texts
    assert not [text for text in texts for name in ("visa", "balance", "challenge") if number_of(name) in text]


async def test_a_reference_has_one_effect(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The same reference again gets the same answer; the journal counts the delivery and takes nothing."""
    sale = order("balance", 6000)
    answers = [await acquirer.authorize(sale) for _ in range(3)]
    answers += await asyncio.gather(*(acquirer.authorize(sale) for _ in range(20)))

    assert len(set(answers)) == 1
    assert isinstance(answers[0], Approved)
    assert (await read_journal(simulator))[sale.reference]["deliveries"] == 23
    assert isinstance(await acquirer.authorize(order("balance", 4000)), Approved)


OTHER_CONTENTS: list[dict[str, Any]] = [
    {"money": Money(2000, Currency.of("USD"))},
    {"money": Money(1999, Currency.of("EUR"))},
    {"card": Card(CardNumber(number_of("amex")), Expiry(12, 2025))},
    {"card": Card(CardNumber(number_of("decline_51")), Expiry(12, 2025))},
    {"capture": False},
    {"acceptor": "7"},
    {"initiator": "merchant", "network_transaction_id": "1"},
]


@pytest.mark.parametrize("change", OTHER_CONTENTS)
async def test_a_reference_has_one_content(
    simulator: Simulator, acquirer: SimulatedAcquirer, change: dict[str, Any]
) -> None:
    """A reference that comes again with another content is refused with 94, one after the other and side by side."""
    for is_at_once in (False, True):
        sale = order()
        other = replace(sale, **change)
        if is_at_once:
            answers = await asyncio.gather(*(acquirer.authorize(each) for each in (sale, other, sale, other)))
        else:
            answers = [await acquirer.authorize(each) for each in (sale, other, sale, other)]
        assert answers == [answers[0], Declined("94"), answers[0], Declined("94")]
        assert isinstance(answers[0], Approved)
        assert await acquirer.inquire(sale.reference, sale.money) == answers[0]
        entry = (await read_journal(simulator))[sale.reference]
        assert (entry["deliveries"], entry["amount"]["minor"]) == (2, 1999)


async def test_an_operation_under_the_reference_of_a_sale(acquirer: SimulatedAcquirer) -> None:
    """The reference of a sale is none for a credit, and the other way round."""
    sale = order()
    await acquirer.authorize(sale)
    credit = operation(sale)
    assert isinstance(await acquirer.credit(credit), Approved)
    assert await acquirer.credit(replace(credit, money=Money(1, sale.money.currency))) == Declined("94")
    assert await acquirer.void(credit) == Declined("94")
    assert await acquirer.credit(operation(sale, reference=sale.reference)) == Declined("94")
    assert await acquirer.authorize(order(reference=credit.reference)) == Declined("94")
    assert isinstance(await acquirer.credit(credit), Approved)


async def test_an_answer_about_another_sum_is_unknown(acquirer: SimulatedAcquirer) -> None:
    """Inquiries and reversals repeat the amount of the reference; one that is not what was asked decides nothing."""
    sale = order()
    await acquirer.authorize(sale)
    for money in (Money(2000, sale.money.currency), Money(1999, Currency.of("EUR"))):
        assert isinstance(await acquirer.inquire(sale.reference, money), Unknown)
        assert isinstance(await acquirer.reverse(sale.reference, money), Unknown)
        assert isinstance(await acquirer.inquire(sale.reference, money), Unknown)


async def test_many_at_once(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """Authorizations of all kinds, many at a time, each get their own answer."""
    sales = [order(name, amount_minor=100 + n) for n, name in enumerate(["visa", "decline_51", "balance", "amex"] * 25)]
    answers = await asyncio.gather(*(acquirer.authorize(sale) for sale in sales))
    journal = await read_journal(simulator)

    for sale, answer in zip(sales, answers, strict=True):
        entry = journal[sale.reference]
        assert entry["amount"]["minor"] == sale.money.amount_minor
        assert entry["approvalCode"] == (answer.approval_code if isinstance(answer, Approved) else None)


async def test_an_inquiry_says_what_came_of_it(acquirer: SimulatedAcquirer) -> None:
    """An inquiry finds the very answer of the authorization, or nothing."""
    approved, declined = order(), order("decline_51")
    answers = [await acquirer.authorize(approved), await acquirer.authorize(declined)]

    assert [
        await acquirer.inquire(approved.reference, approved.money),
        await acquirer.inquire(declined.reference, declined.money),
    ] == answers
    assert await acquirer.inquire("never-seen", order().money) == ReferenceUnknown()


async def test_a_reversal_gives_back(acquirer: SimulatedAcquirer) -> None:
    """A reversal gives the amount back once, however often it is repeated."""
    sale = order("balance", 10000)
    assert isinstance(await acquirer.authorize(sale), Approved)
    assert await acquirer.authorize(order("balance", 1)) == Declined("51")

    assert await asyncio.gather(*(acquirer.reverse(sale.reference, sale.money) for _ in range(5))) == [Reversed()] * 5
    assert await acquirer.inquire(sale.reference, sale.money) == Reversed()
    assert isinstance(await acquirer.authorize(order("balance", 10000)), Approved)
    assert await acquirer.authorize(order("balance", 1)) == Declined("51")


async def test_a_reversal_may_come_first(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """An authorization whose reversal came first is refused, takes nothing, and stays reversed."""
    sale = order("balance", 10000)

    assert await acquirer.reverse(sale.reference, sale.money) == Reversed()
    assert await acquirer.inquire(sale.reference, sale.money) == Reversed()
    assert await acquirer.authorize(sale) == Declined("12")
    assert await acquirer.authorize(sale) == Declined("12")
    assert await acquirer.reverse(sale.reference, sale.money) == Reversed()
    entry = (await read_journal(simulator))[sale.reference]
    assert (entry["approved"], entry["deliveries"], entry["kind"]) == (False, 2, "sale")
    assert isinstance(await acquirer.authorize(order("balance", 10000)), Approved)


async def test_concurrent_charges_share_one_balance(acquirer: SimulatedAcquirer) -> None:
    """Concurrent charges spend the card's 100.00 once."""
    answers = await asyncio.gather(*(acquirer.authorize(order("balance", 900)) for _ in range(40)))

    assert sum(isinstance(answer, Approved) for answer in answers) == 11
    assert sum(answer == Declined("51") for answer in answers) == 29


async def test_balances_and_journal_survive_a_restart(
    simulator: Simulator, acquirer: SimulatedAcquirer, simulator_database: Database
) -> None:
    """A new process on the same database knows what was taken and answered."""
    sale = order("balance", 6000)
    answer = await acquirer.authorize(sale)
    await simulator.close()
    successor = Simulator(simulator_database, base_url="http://localhost")
    again = SimulatedAcquirer(InProcessTransport(successor))

    assert await again.authorize(sale) == answer
    assert await again.authorize(order("balance", 6000)) == Declined("51")
    await successor.close()


async def test_a_lost_answer(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The card with the lost answer leaves the gateway without one, and an inquiry finds the approval."""
    sale = order("lost_answer")

    assert isinstance(await acquirer.authorize(sale), Unknown)
    assert isinstance(await acquirer.inquire(sale.reference, sale.money), Approved)
    assert (await read_journal(simulator))[sale.reference]["approved"]


async def test_a_message_that_never_arrives(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The card that never arrives leaves no trace at the issuer."""
    sale = order("never_arrives")

    assert isinstance(await acquirer.authorize(sale), Unknown)
    assert await acquirer.inquire(sale.reference, sale.money) == ReferenceUnknown()
    assert sale.reference not in await read_journal(simulator)


async def test_a_slow_answer(acquirer: SimulatedAcquirer) -> None:
    """The slow card answers, later."""
    assert isinstance(await acquirer.authorize(order("slow")), Approved)


async def test_a_silent_answer(simulator: Simulator) -> None:
    """The silent card is processed and never answers; the gateway gives up by itself."""
    impatient = SimulatedAcquirer(InProcessTransport(simulator), timeout_seconds=0.1)
    sale = order("silent")

    assert await impatient.authorize(sale) == Unknown("TimeoutError")
    assert isinstance(await impatient.inquire(sale.reference, sale.money), Approved)


async def test_a_request_that_arrives_twice(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The card whose request is doubled on the way is charged once."""
    sale = order("twice")

    assert isinstance(await acquirer.authorize(sale), Approved)
    assert (await read_journal(simulator))[sale.reference]["deliveries"] == 2


async def test_a_late_approval(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The late card is unknown to the issuer until its time, then approves, though the gateway has hung up."""
    impatient = SimulatedAcquirer(InProcessTransport(simulator), timeout_seconds=0.05)
    sale = order("late")

    assert isinstance(await impatient.authorize(sale), Unknown)
    assert await acquirer.inquire(sale.reference, sale.money) == ReferenceUnknown()
    assert isinstance(await eventually_found(acquirer, sale), Approved)


async def test_a_late_approval_after_its_reversal(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """Reversed while it is on its way, the late card still says approved, and takes nothing."""
    sale = order("late")
    under_way = asyncio.create_task(run(acquirer, sale))
    await asyncio.sleep(0.05)

    assert await acquirer.reverse(sale.reference, sale.money) == Reversed()
    assert isinstance(await under_way, Approved)
    assert await acquirer.inquire(sale.reference, sale.money) == Reversed()
    entry = (await read_journal(simulator))[sale.reference]
    assert entry["approved"]
    assert entry["reversedAt"] is not None


async def test_a_proof_is_good_once(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A frictionless proof passes its own card and amount once, and never again."""
    proof = proof_of(await authenticate(simulator, "frictionless"))

    assert isinstance(await acquirer.authorize(order("frictionless", proof=proof)), Approved)
    assert await acquirer.authorize(order("frictionless", proof=proof)) == Declined("82")


async def test_a_proof_is_good_once_among_many(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """Of many authorizations that show one proof at once, one passes."""
    proof = proof_of(await authenticate(simulator, "frictionless"))
    answers = await asyncio.gather(*(acquirer.authorize(order("frictionless", proof=proof)) for _ in range(20)))

    assert sum(isinstance(answer, Approved) for answer in answers) == 1
    assert sum(answer == Declined("82") for answer in answers) == 19


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("frictionless", {"eci": "06"}),
        ("frictionless", {"cavv": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
        ("frictionless", {"directory_transaction_id": "f25084f0-5b16-4c0a-ae5d-b24808a95e4b"}),
        ("frictionless_2", {}),
        ("visa", {}),
    ],
)
async def test_a_wrong_proof_declines(
    simulator: Simulator, acquirer: SimulatedAcquirer, name: str, changes: dict[str, str]
) -> None:
    """A proof that is not the access control server's own, or is of another card, declines 82 and is not used up."""
    ares = await authenticate(simulator, "frictionless")
    good = proof_of(ares)
    wrong = type(good)(
        changes.get("eci", good.eci),
        changes.get("cavv", good.cavv),
        changes.get("directory_transaction_id", good.directory_transaction_id),
        good.version,
    )

    assert await acquirer.authorize(order(name, proof=wrong)) == Declined("82")
    assert isinstance(await acquirer.authorize(order("frictionless", proof=good)), Approved)


async def test_a_proof_is_of_its_amount(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A proof of one amount or currency does not pass another."""
    proof = proof_of(await authenticate(simulator, "attempted"))

    assert await acquirer.authorize(order("attempted", 2000, proof=proof)) == Declined("82")
    assert await acquirer.authorize(order("attempted", 1999, "EUR", proof=proof)) == Declined("82")
    assert isinstance(await acquirer.authorize(order("attempted", 1999, proof=proof)), Approved)


@pytest.mark.parametrize("name", ["unavailable", "informational"])
async def test_unavailable_authentication_passes_once(
    simulator: Simulator, acquirer: SimulatedAcquirer, name: str
) -> None:
    """After an ARes of U or I, one authorization of that card and amount passes without an authentication value."""
    await authenticate(simulator, name)

    assert await acquirer.authorize(order(name, 5)) == Declined("1A")
    assert isinstance(await acquirer.authorize(order(name)), Approved)
    assert await acquirer.authorize(order(name)) == Declined("1A")


async def test_the_journal_is_bounded_and_newest_first(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """The journal gives as many rows as were asked for, the newest first."""
    sales = [order() for _ in range(3)]
    for sale in sales:
        await acquirer.authorize(sale)
    answer = await simulator.handle("/control/journal", b'{"limit":2}')
    assert isinstance(answer, bytes)

    references = [entry["reference"] for entry in json.loads(answer)["entries"]]
    assert references == [sales[2].reference, sales[1].reference]


async def test_faulty_messages_are_refused(simulator: Simulator, acquirer: SimulatedAcquirer) -> None:
    """A faulty body is Invalid, a path that is not there is NotFound; neither harms those beside it."""
    with pytest.raises(Invalid):
        await simulator.handle("/acquirer/authorize", b"{}")
    with pytest.raises(NoSuchPath):
        await simulator.handle("/acquirer/settle", b"{}")

    assert isinstance(await acquirer.authorize(order(reference="x" * 65)), Unknown)
    assert isinstance(await acquirer.authorize(order()), Approved)


async def run(acquirer: SimulatedAcquirer, sale: Authorization) -> Finding:
    """Authorize, for a task of its own."""
    return await acquirer.authorize(sale)


async def eventually_found(acquirer: SimulatedAcquirer, sale: Authorization) -> Finding:
    """Inquire until something is found, for two seconds."""
    finding: Finding = ReferenceUnknown()
    for _ in range(40):
        finding = await acquirer.inquire(sale.reference, sale.money)
        if finding != ReferenceUnknown():
            break
        await asyncio.sleep(0.05)
    return finding
