"""Card numbers and security codes are nowhere but in the vault's ciphertexts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from tests.support.acquirer import Plan
from tests.support.shop import Shop, all_at_once, claim

from tollhouse.acquirers.model import Declined
from tollhouse.kernel.faults import RequestRejected
from tollhouse.vault.seal import Sealed

CANARY = "4929123456789018"
CANARY_CVV = "739"
ALPHABET = re.compile(rb"[0-9A-Za-z+/_-]{16,}")


def disguises(secret: bytes) -> Iterator[bytes]:
    """Yield encodings in which a secret might be left behind."""
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield f"{int(secret):x}".encode()
    # Base64 at each of the three alignments, without what depends on the neighbours.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        yield encoded[4 if shift else 0 : -4]


async def dump(shop: Shop) -> bytes:
    """Return everything that is stored."""
    tables = await shop.fetch("select table_name from information_schema.tables where table_schema = 'gateway'")
    parts: list[bytes] = []
    for table in tables:
        for row in await shop.fetch(f"select * from {table[0]}"):  # noqa: S608 - names from the catalogue
            parts += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
    return b"\n".join(parts)


def decoded(content: bytes) -> bytes:
    """Append the decoded base64 texts of a content."""
    parts = [content]
    for run in ALPHABET.findall(content):
        for shift in range(4):
            piece = run[shift:].replace(b"-", b"+").replace(b"_", b"/")
            with_padding = piece[: len(piece) // 4 * 4]
            try:
                parts.append(base64.b64decode(with_padding, validate=True))
            except binascii.Error:
                continue
    return b"\n".join(parts)


async def live(shop: Shop) -> None:
    """Run payments of every source and end, with crashes, repeats and refusals."""
    card: dict[str, Any] = {"number": CANARY, "cvv": CANARY_CVV}
    paid = await shop.pay(**card, claim=claim("r1"))
    await shop.pay(**card, claim=claim("r1"))
    shop.acquirer.plan(Plan(Declined("82")), Plan(lost="answer"), Plan(not_sent=True))
    for n in range(3):
        await shop.pay(**card, metadata=f'{{"n": {n}}}')
    used = await shop.tokenize(CANARY, cvv=CANARY_CVV)
    await shop.pay(token=used)
    await shop.tokenize(CANARY, cvv=CANARY_CVV)
    await all_at_once(shop.pay(token=used), shop.pay(token="nonsense"))
    account = paid.payment["source"]["paymentAccountId"]
    await shop.pay(account_id=account)
    await shop.pay(source_consumer_id=paid.body["consumer"]["id"])
    shop.acquirer.plan(Plan(error=RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        await shop.pay(**card)
    await shop.begin(**card, external_id="user-2")
    with pytest.raises(RequestRejected):
        await shop.pay(**card, site_id=CANARY)


async def test_no_card_data_are_in_tables_or_logs(shop: Shop) -> None:
    """After a run of payments neither tables nor log hold a card number or code, in clear or encoded."""
    with structlog.testing.capture_logs() as logs:
        await live(shop)
    everything = decoded(await dump(shop)) + repr(logs).encode()
    assert b"492912****9018" in everything
    found = [form for form in disguises(CANARY.encode()) if form in everything]
    assert not found
    assert CANARY[4:-2].encode() not in everything
    assert not re.search(rb"(?<![0-9A-Za-z])739(?![0-9A-Za-z])", await dump(shop) + repr(logs).encode())


async def test_the_search_finds_a_leak(shop: Shop) -> None:
    """The search finds a number that was left behind, in clear or in base64."""
    await shop.pay(metadata=f'{{"note": "{CANARY}"}}')
    hidden = base64.b64encode(b"x" + CANARY.encode() + b"yz").decode()
    await shop.pay(metadata=f'{{"note": "{hidden}"}}')
    content = await dump(shop)
    assert CANARY.encode() in content
    assert any(form in content for form in list(disguises(CANARY.encode()))[5:])
    assert CANARY.encode() in decoded(hidden.encode())


async def test_everything_sealed_opens(shop: Shop) -> None:
    """Each stored card can be opened in its row, and the card of an open attempt is the one that pays."""
    await live(shop)
    vault = shop.gateway.vault
    for row in await shop.fetch("select merchant_id, account_id, sealed_card, key_version from account"):
        sealed = Sealed(row["sealed_card"], row["key_version"])
        opened = vault.open_card(sealed, merchant_id=row["merchant_id"], account_id=row["account_id"])
        assert opened.number.reveal() == CANARY
    pending = await shop.fetch("select transaction_id from transaction where status = 'pending'")
    assert len(pending) >= 2
    for row in pending:
        payment = await shop.stored(row["transaction_id"])
        assert payment.attempt.card is not None
        vault.open_card(payment.attempt.card, merchant_id=1, account_id=payment.source.account_id)
