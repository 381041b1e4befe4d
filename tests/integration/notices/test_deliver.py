"""Letters reach a real mail server, at least once and under one name, and none is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.callbacks import wait_until
from tests.support.due import send_due_emails
from tests.support.letters import facts
from tests.support.mail_server import MailServer, make_certificate, open_mail_server

from tollhouse.notices.model import Email
from tollhouse.notices.send import BATCH, DELAYS
from tollhouse.notices.smtp import SmtpTransport
from tollhouse.notices.store import SWEEPS, NoticeRow, insert_notices
from tollhouse.notices.transport import EmailDelayed, EmailSent, MailTransport, Outcome, Security, Server
from tollhouse.storage.database import Database
from tollhouse.storage.sweep import Sweeper
from tollhouse.worker.emails import send_emails

SENDER = "receipts@pay.example"


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    """A server without protection."""
    async with open_mail_server() as server:
        yield server


def mail_transport_to(mail: MailServer) -> SmtpTransport:
    """Return who carries letters to a server."""
    return SmtpTransport(Server("127.0.0.1", mail.port, Security.NONE, None, None), sender=SENDER)


async def write(database: Database, count: int = 1) -> None:
    """Write letters down, to jane0@shop.example and so on."""
    rows = [
        NoticeRow(1, f"jane{number}@shop.example", "en", facts(transaction_id=str(number)), transaction_id=number)
        for number in range(count)
    ]
    async with database.transaction() as connection:
        await insert_notices(connection, rows)


async def rows_of(database: Database) -> list[Any]:
    """Return what stands in the table."""
    async with database.acquire() as connection:
        return await connection.fetch("select *, due_at - now() as wait from notice order by transaction_id")


async def fall_due(database: Database) -> None:
    """Let the pause after an attempt, or a lease, be over."""
    async with database.acquire() as connection:
        await connection.execute("update notice set due_at = now()")


async def test_letters_are_carried_once(database: Database, mail: MailServer) -> None:
    """Each letter goes to its recipient, from our address, over one connection; and then no more."""
    await write(database, 3)
    assert await send_due_emails(database, mail_transport_to(mail)) == 3
    assert await send_due_emails(database, mail_transport_to(mail)) == 0
    assert sorted(mail.envelopes) == [(SENDER, [f"jane{number}@shop.example"]) for number in range(3)]
    assert {letter["Message-ID"] for letter in mail.letters} == {f"<receipt.1.{n}@pay.example>" for n in range(3)}
    assert mail.connections == 1
    assert {row["state"] for row in await rows_of(database)} == {"sent"}
    assert all(row["ended_at"] and row["lease"] is None for row in await rows_of(database))


async def test_a_letter_is_written_once(database: Database, mail: MailServer) -> None:
    """Writing it again changes nothing, also after it was carried."""
    await write(database)
    await write(database)
    await send_due_emails(database, mail_transport_to(mail))
    await write(database)
    assert await send_due_emails(database, mail_transport_to(mail)) == 0


async def test_many_letters_go_in_batches(database: Database, mail: MailServer) -> None:
    """More than a batch is carried batch by batch."""
    await write(database, BATCH + 2)
    assert await send_due_emails(database, mail_transport_to(mail)) == BATCH + 2
    assert mail.connections == 2


async def test_a_refused_address_is_given_up(database: Database, mail: MailServer) -> None:
    """One bad address does not hold up the others, and is not tried again; what the server said of it is not kept."""
    await write(database, 2)
    mail.answers = ["550 no jane0@shop.example here"]
    await send_due_emails(database, mail_transport_to(mail))
    refused, sent = sorted(await rows_of(database), key=lambda row: str(row["state"] == "sent"))
    assert (refused["state"], refused["error"]) == ("failed", "550")
    assert sent["state"] == "sent"
    assert len(mail.letters) == 1


async def test_a_busy_server_is_tried_again(database: Database, mail: MailServer) -> None:
    """A temporary failure is retried after a pause, under the same name."""
    await write(database)
    mail.answers = ["450 later"]
    await send_due_emails(database, mail_transport_to(mail))
    [row] = await rows_of(database)
    assert (row["state"], row["error"], row["attempts"]) == ("waiting", "450", 1)
    assert 50 < row["wait"].total_seconds() <= 60
    assert await send_due_emails(database, mail_transport_to(mail)) == 0
    await fall_due(database)
    mail.data_answers = ["451 later"]
    await send_due_emails(database, mail_transport_to(mail))
    await fall_due(database)
    await send_due_emails(database, mail_transport_to(mail))
    assert [letter["Message-ID"] for letter in mail.letters] == ["<receipt.1.0@pay.example>"]


async def test_a_refused_letter_is_given_up(database: Database, mail: MailServer) -> None:
    """A server that refuses the letter itself is not asked again."""
    await write(database)
    mail.data_answers = ["554 looks like spam"]
    await send_due_emails(database, mail_transport_to(mail))
    assert [(row["state"], row["error"]) for row in await rows_of(database)] == [("failed", "554")]


async def test_email_is_given_up_after_two_days(database: Database) -> None:
    """Without a server every email waits, and is given up after two days."""
    await write(database, 2)
    nobody = SmtpTransport(Server("127.0.0.1", 9, Security.NONE, None, None), sender=SENDER)
    for _ in range(len(DELAYS) + 1):
        assert {row["state"] for row in await rows_of(database)} == {"waiting"}
        await fall_due(database)
        await send_due_emails(database, nobody)
    assert {(row["state"], row["attempts"]) for row in await rows_of(database)} == {("failed", len(DELAYS) + 1)}


class LosingTransport:
    """Takes the first letter, and then the connection is lost."""

    async def send_emails(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Carry the first."""
        for number, _ in enumerate(letters):
            yield EmailDelayed("SMTPServerDisconnected") if number else EmailSent()


async def test_a_lost_connection_loses_nothing(database: Database, mail: MailServer) -> None:
    """Emails sent before are not sent again, and the rest are sent."""
    await write(database, 3)
    await send_due_emails(database, LosingTransport())
    await fall_due(database)
    await send_due_emails(database, mail_transport_to(mail))
    assert len(mail.letters) == 2


class WaitingTransport:
    """Holds letters until it is let go."""

    def __init__(self, mail_transport: MailTransport) -> None:
        self.has_some = asyncio.Event()
        self.go = asyncio.Event()
        self._mail_transport = mail_transport

    async def send_emails(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
        """Wait, then carry."""
        self.has_some.set()
        await self.go.wait()
        async for outcome in self._mail_transport.send_emails(letters):
            yield outcome


async def test_each_outcome_is_recorded_as_it_comes(database: Database, mail: MailServer) -> None:
    """When a process dies in the middle of a batch, what was carried before is not carried again."""
    await write(database, 3)

    class DyingTransport:
        async def send_emails(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
            """Carry the first two, and never end with the third."""
            number = 0
            async for outcome in mail_transport_to(mail).send_emails(letters[:2]):
                number += 1
                yield outcome
            await asyncio.Event().wait()

    dying = asyncio.create_task(send_due_emails(database, DyingTransport()))
    await wait_until(lambda: states_are(database, ["sent", "sent", "waiting"]))
    while not dying.done():  # the mail library loses a cancellation that comes together with an answer of the server
        dying.cancel()
        await asyncio.sleep(0.01)
    await fall_due(database)
    await send_due_emails(database, mail_transport_to(mail))
    assert sorted(envelope[1] for envelope in mail.envelopes) == [[f"jane{number}@shop.example"] for number in range(3)]


@pytest.mark.parametrize(
    "change",
    [
        'facts = facts || \'{"at": "never"}\'',
        "facts = '[]'",
        'facts = facts || \'{"currency": "???"}\'',
        "recipient = 'jane@[broken'",
    ],
)
async def test_a_broken_letter_fails_alone(database: Database, mail: MailServer, change: str) -> None:
    """A letter that cannot be read, written or carried is tried again and given up; the others go out once."""
    await write(database, 3)
    async with database.acquire() as connection:
        await connection.execute(f"update notice set {change} where transaction_id = 1")  # noqa: S608 - of this test
    for _ in range(len(DELAYS) + 2):
        await send_due_emails(database, mail_transport_to(mail))
        await fall_due(database)
    assert await states_are(database, ["failed", "sent", "sent"])
    assert len(mail.letters) == 2


async def test_a_graceful_stop_repeats_nothing(database: Database, mail: MailServer) -> None:
    """A worker that stops in the middle of a batch gives back what it has not begun, and nothing is carried twice."""
    await write(database, BATCH)
    stop = asyncio.Event()

    class StoppingTransport:
        async def send_emails(self, letters: Sequence[Email]) -> AsyncGenerator[Outcome]:
            """Tell the process to stop after the fifth letter."""
            number = 0
            async for outcome in mail_transport_to(mail).send_emails(letters):
                number += 1
                if number == 5:
                    stop.set()
                yield outcome

    async with asyncio.timeout(30):
        await send_emails(database, StoppingTransport(), stop=stop)
    assert len(mail.letters) == 5
    assert {(row["state"], row["attempts"], row["lease"]) for row in await rows_of(database)} == {
        ("sent", 1, None),
        ("waiting", 0, None),
    }
    assert await send_due_emails(database, mail_transport_to(mail)) == BATCH - 5
    assert len({letter["Message-ID"] for letter in mail.letters}) == len(mail.letters) == BATCH


async def states_are(database: Database, states: list[str]) -> bool:
    """Say whether these are the states of the letters."""
    return sorted(row["state"] for row in await rows_of(database)) == states


async def test_leased_email_is_sent_by_one_worker(database: Database, mail: MailServer) -> None:
    """A leased email is sent by one worker; after a crash another sends it, and the late outcome is ignored."""
    await write(database)
    waiting = WaitingTransport(mail_transport_to(mail))
    first = asyncio.create_task(send_due_emails(database, waiting))
    await waiting.has_some.wait()
    assert await send_due_emails(database, mail_transport_to(mail)) == 0
    await fall_due(database)
    mail.answers = ["450 later"]
    assert await send_due_emails(database, mail_transport_to(mail)) == 1
    waiting.go.set()
    await first
    assert [(row["state"], row["error"]) for row in await rows_of(database)] == [("waiting", "450")]
    assert len(mail.letters) == 1


async def test_connection_is_encrypted(tmp_path: Path, database: Database) -> None:
    """TLS and STARTTLS work with a trusted certificate, after a login."""
    serving, trusting = make_certificate(tmp_path)
    for security in (Security.TLS, Security.START_TLS):
        async with open_mail_server(tls=serving, start_tls=security is Security.START_TLS) as mail:
            await write(database)
            server = Server("127.0.0.1", mail.port, security, "user", "right")
            await send_due_emails(database, SmtpTransport(server, sender=SENDER, tls_context=trusting))
            assert len(mail.letters) == 1, security
            assert mail.logins == [("user", "right")]
            async with database.acquire() as connection:
                await connection.execute("delete from notice")


@pytest.mark.parametrize("what", ["untrusted", "no STARTTLS", "password"])
async def test_without_protection_nothing_is_said(tmp_path: Path, database: Database, what: str) -> None:
    """An unknown certificate, a server without STARTTLS, a wrong password: no letter leaves, and it is tried again."""
    serving, trusting = make_certificate(tmp_path)
    has_tls = what != "no STARTTLS"
    async with open_mail_server(tls=serving if has_tls else None, start_tls=has_tls) as mail:
        await write(database)
        server = Server("127.0.0.1", mail.port, Security.START_TLS, "user", "wrong")
        context = None if what == "untrusted" else trusting
        await send_due_emails(database, SmtpTransport(server, sender=SENDER, tls_context=context))
        assert not mail.letters
        assert bool(mail.logins) is (what == "password")
    [row] = await rows_of(database)
    assert row["state"] == "waiting"
    # The mail server's own word for a wrong password (RFC 4954, 6), and no silence that was taken for one.
    assert (row["error"] == "535") is (what == "password")
    assert row["error"]


async def test_old_letters_are_removed(database: Database, mail: MailServer) -> None:
    """A month after it was carried a letter is gone, and its address with it; one that waits stays."""
    await write(database, 2)
    mail.answers = ["450 later"]
    await send_due_emails(database, mail_transport_to(mail))
    assert await Sweeper(database, SWEEPS).step() == 0
    async with database.acquire() as connection:
        await connection.execute("update notice set ended_at = ended_at - interval '31 days' where state = 'sent'")
    assert await Sweeper(database, SWEEPS).step() == 1
    async with database.acquire() as connection:
        assert [row["state"] for row in await connection.fetch("select state from notice")] == ["waiting"]
