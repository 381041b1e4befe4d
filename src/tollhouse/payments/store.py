"""The two durable steps: **begin** commits intentions, **move** commits what became of them.

Both are flush functions of a coalescer: a batch, one transaction, a fixed short sequence of statements, and rows in
the order of their keys. Both bear repetition, since a COMMIT may have gone through although its answer was lost: a
claim, a token or a row that bears one's own ids is one's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tollhouse.consumers.model import Group
from tollhouse.consumers.store import insert_consumers
from tollhouse.kernel.requests import Claim
from tollhouse.payments import records
from tollhouse.payments.model import Consequence, Payment, Preparation, Status
from tollhouse.payments.steps import Beginning, Begun, Claimed, Committed, DoubleClick, Move, TokenGone
from tollhouse.payments.velocity import count_attempts
from tollhouse.risk.model import NO_LIMITS, Facts, Limits
from tollhouse.storage.queries import load_queries
from tollhouse.threeds.store import insert_authentications
from tollhouse.vault.security_codes import delete_security_codes, insert_security_codes
from tollhouse.vault.tokens import consume_tokens

if TYPE_CHECKING:
    from tollhouse.consumers.store import ConsumerRow
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import PlainConnection

#: How often a double click is looked up before its batch is given up: each time the equal payment had just been
#: settled.
DOUBLE_CLICK_TRIES = 3

queries = load_queries("tollhouse.payments")


async def flush_beginnings(
    clock: DatabaseClock,
    preparations: Sequence[Preparation],
    connection: PlainConnection,
    batch: Sequence[Beginning],
    *,
    limits: Limits = NO_LIMITS,
) -> list[Begun]:
    """Commit a batch of intentions: request ids, tokens, payments, consumers, and what other packages prepare."""
    begun: dict[int, Begun] = await _claim_requests(connection, batch)
    await _consume_tokens(connection, _still_open(batch, begun), begun)
    open_ = _still_open(batch, begun)
    fresh = await _insert_payments(clock, connection, open_, begun)
    committed = [item for item in open_ if isinstance(begun[item.payment.transaction_id], Committed)]
    if limits.is_set:
        await _count_attempts(connection, limits, [item.payment for item in committed], begun, fresh)
    # After the payments: a double click of somebody without a name would leave a consumer behind who never paid.
    await insert_consumers(connection, _find_new_consumers(committed, begun))
    for preparation in preparations:
        rows = [row for item in committed for row in preparation.rows(item.payment)]
        if rows:
            await preparation.write(connection, rows)
    return [begun[item.payment.transaction_id] for item in batch]


def _still_open(batch: Iterable[Beginning], begun: dict[int, Begun]) -> list[Beginning]:
    return [item for item in batch if item.payment.transaction_id not in begun]


def _find_new_consumers(batch: Sequence[Beginning], begun: Mapping[int, Begun]) -> list[ConsumerRow]:
    """Return the consumers who were not seen with the intentions. Nobody deletes one who was."""
    found = ((item.consumer, begun[item.payment.transaction_id]) for item in batch if item.consumer)
    return [consumer for consumer, seen in found if not (isinstance(seen, Committed) and seen.is_consumer_there)]


async def _claim_requests(connection: PlainConnection, batch: Sequence[Beginning]) -> dict[int, Begun]:
    """Take request ids, and return what is known of those that somebody else holds."""
    claiming = sorted(
        ((item.claim, item.payment) for item in batch if item.claim),
        key=lambda pair: (pair[0].merchant_id, pair[0].operation, pair[0].request_id),
    )
    if not claiming:
        return {}
    rows = queries.claim_requests(
        connection,
        **_claim_keys([claim for claim, _ in claiming]),
        digests=[claim.digest for claim, _ in claiming],
        payment_ids=[payment.payment_id for _, payment in claiming],
    )
    won = {row["payment_id"] async for row in rows}
    lost = [(claim, payment) for claim, payment in claiming if payment.payment_id not in won]
    return await _find_holders(connection, lost) if lost else {}


async def _find_holders(connection: PlainConnection, lost: Sequence[tuple[Claim, Payment]]) -> dict[int, Begun]:
    """Return who holds these request ids; one that bears its own payment was taken by an earlier try of the batch."""
    keys = _claim_keys([claim for claim, _ in lost])
    held = {
        (row["merchant_id"], row["operation"], row["request_id"]): _read_claimed(row)
        async for row in queries.select_claims(connection, **keys)
    }
    found = ((payment, held[claim.merchant_id, claim.operation, claim.request_id]) for claim, payment in lost)
    return {payment.transaction_id: claimed for payment, claimed in found if claimed.payment_id != payment.payment_id}


def _claim_keys(claims: Sequence[Claim]) -> dict[str, list[Any]]:
    return {
        "merchant_ids": [claim.merchant_id for claim in claims],
        "operations": [claim.operation for claim in claims],
        "request_ids": [claim.request_id for claim in claims],
    }


async def _consume_tokens(connection: PlainConnection, batch: Sequence[Beginning], begun: dict[int, Begun]) -> None:
    """Consume tokens; a payment whose token is gone gives its request id back."""
    uses = [(item.token_id, item.payment.payment_id) for item in batch if item.token_id]
    if not uses:
        return
    granted = await consume_tokens(connection, uses)
    failed = [item for item in batch if item.token_id and (item.token_id, item.payment.payment_id) not in granted]
    begun |= {item.payment.transaction_id: TokenGone() for item in failed}
    released = [(item.claim, item.payment.payment_id) for item in failed if item.claim]
    if released:
        await queries.release_claims(
            connection,
            **_claim_keys([claim for claim, _ in released]),
            payment_ids=[payment_id for _, payment_id in released],
        )


async def _insert_payments(
    clock: DatabaseClock, connection: PlainConnection, batch: Sequence[Beginning], begun: dict[int, Begun]
) -> set[int]:
    """Insert payments; one that meets an equal unresolved payment becomes a double click of it.

    Returns the transactions that were inserted, and not by an earlier try of the same batch.
    """
    missing = sorted(batch, key=_lock_key)
    fresh: set[int] = set()
    for _ in range(DOUBLE_CLICK_TRIES):
        if not missing:
            return fresh
        rows = [row async for row in queries.insert_payments(connection, **records.columns_of_beginnings(missing))]
        if rows:
            clock.observe(rows[0]["database_time"])
        inserted = {row["transaction_id"]: _read_committed(row) for row in rows}
        begun |= inserted
        fresh |= inserted.keys()
        missing = [item for item in missing if item.payment.transaction_id not in inserted]
        if missing:
            await _find_double_clicks(connection, missing, begun)
            missing = _still_open(missing, begun)
    if missing:
        raise RuntimeError("equal payments kept being settled between two looks at them")
    return fresh


async def _count_attempts(
    connection: PlainConnection,
    limits: Limits,
    payments: Sequence[Payment],
    begun: dict[int, Begun],
    fresh: Collection[int],
) -> None:
    """Add to what was found with intentions how often there was the same before."""
    counts = await count_attempts(connection, limits, payments, fresh=fresh)
    for transaction_id, count in counts.items():
        found = begun[transaction_id]
        if isinstance(found, Committed):
            begun[transaction_id] = replace(found, facts=replace(found.facts, counts=count))


def _read_committed(row: Mapping[str, Any]) -> Committed:
    """Read what was found with an intention. A consumer who is not there yet is in no group; all others are in one."""
    group = row["group_id"]
    facts = Facts(is_blacklisted=group == Group.BLACKLIST, is_whitelisted=group == Group.WHITELIST)
    return Committed(facts, is_account_disabled=bool(row["is_account_disabled"]), is_consumer_there=group is not None)


def _lock_key(item: Beginning) -> tuple[int, bytes, int]:
    """Order inserts by what they may wait for: an equal payment, or another try of the same page."""
    payment = item.payment
    return payment.merchant_id, payment.double_click_digest or b"", payment.payment_id if payment.page_try else 0


async def _find_double_clicks(
    connection: PlainConnection, missing: Sequence[Beginning], begun: dict[int, Begun]
) -> None:
    rows = queries.select_double_clicks(
        connection,
        merchant_ids=[item.payment.merchant_id for item in missing],
        transaction_ids=[item.payment.transaction_id for item in missing],
        digests=[item.payment.double_click_digest for item in missing],
        page_payment_ids=[item.payment.payment_id if item.payment.page_try else None for item in missing],
    )
    holders = {row["transaction_id"]: row async for row in rows}
    for item in missing:
        row = holders[item.payment.transaction_id]
        if row["payment_id"] is not None:
            own = _read_committed(row) if row["is_own"] else None
            begun[item.payment.transaction_id] = own or DoubleClick(row["payment_id"])
    clicks = [(item, begun.get(item.payment.transaction_id)) for item in missing if item.claim]
    handed = [(item, click.payment_id) for item, click in clicks if isinstance(click, DoubleClick)]
    if handed:
        await queries.hand_over_claims(
            connection,
            merchant_ids=[item.payment.merchant_id for item, _ in handed],
            payment_ids=[item.payment.payment_id for item, _ in handed],
            holder_ids=[holder_id for _, holder_id in handed],
        )


async def flush_moves(
    clock: DatabaseClock, consequences: Sequence[Consequence], connection: PlainConnection, batch: Sequence[Move]
) -> list[bool]:
    """Commit a batch of moves; return for each whether it was still where it had been seen.

    Of two that move one attempt from the same state the earlier counts, as if they had come in two batches.
    """
    earliest = {_key(move): move for move in reversed(batch)}
    ordered = sorted(earliest.values(), key=lambda move: (move.payment.merchant_id, move.payment.transaction_id))
    rows = [row async for row in queries.move_attempts(connection, **records.columns_of_moves(ordered))]
    if rows:
        clock.observe(rows[0]["database_time"])
    moved_keys = {(row["transaction_id"], row["number"], row["expected"]) for row in rows}
    moved = [move for move in ordered if _key(move) in moved_keys]
    if len(moved) < len(ordered):
        moved_keys |= await _find_own_moves(connection, [move for move in ordered if _key(move) not in moved_keys])
    await _follow_up(connection, moved)
    settled = [move.payment for move in moved if move.payment.status is not Status.PENDING]
    await write_consequences(connection, consequences, settled)
    return [_key(move) in moved_keys and move is earliest[_key(move)] for move in batch]


async def write_consequences(
    connection: PlainConnection, consequences: Sequence[Consequence], settled: Sequence[Payment]
) -> None:
    """Write what follows from payments, in the transaction that settles them."""
    for consequence in sorted(consequences, key=lambda consequence: consequence.rank):
        following = [row for payment in settled for row in consequence.rows(payment)]
        if following:
            await consequence.write(connection, following)


async def _find_own_moves(connection: PlainConnection, missed: Sequence[Move]) -> set[tuple[int, int, str]]:
    """Return those of the moves that an earlier try of this batch has committed, with all that follows from them."""
    rows = queries.select_own_moves(connection, **records.columns_of_own_moves(missed))
    return {(row["transaction_id"], row["number"], row["expected"]) async for row in rows}


def _key(move: Move) -> tuple[int, int, str]:
    return (move.payment.transaction_id, move.payment.attempt.number, move.expected)


async def _follow_up(connection: PlainConnection, moved: Sequence[Move]) -> None:
    """Write what a move brings with it besides its settlement."""
    following = [move for move in moved if move.following]
    if following:
        await queries.insert_attempts(connection, **records.columns_of_following(following))
    challenges = [move.challenge for move in moved if move.challenge]
    if challenges:
        await insert_authentications(connection, challenges)
    await insert_security_codes(connection, [move.code for move in moved if move.code])
    await delete_security_codes(connection, [move.erase_code_of for move in moved if move.erase_code_of])


async def select_claim(connection: PlainConnection, claim: Claim) -> Claimed | None:
    """Return who holds a request id, or None when it is free."""
    rows = [row async for row in queries.select_claims(connection, **_claim_keys([claim]))]
    return _read_claimed(rows[0]) if rows else None


def _read_claimed(row: Mapping[str, Any]) -> Claimed:
    return Claimed(row["payment_id"], row["digest"], row["status"], row["answer"], row["transaction_id"])


async def select_payment(connection: PlainConnection, *, merchant_id: int, transaction_id: int) -> Payment | None:
    """Return a merchant's payment by the id of its transaction, or None."""
    found = await select_payments(connection, merchant_id=merchant_id, transaction_ids=[transaction_id])
    return found.get(transaction_id)


async def select_payments(
    connection: PlainConnection, *, merchant_id: int, transaction_ids: Sequence[int]
) -> dict[int, Payment]:
    """Return a merchant's payments by the ids of their transactions, as far as they are there."""
    rows = queries.select_payments(connection, merchant_id=merchant_id, transaction_ids=transaction_ids)
    return {row["transaction_id"]: records.read_payment(row) async for row in rows}


async def select_payment_by_order(connection: PlainConnection, *, merchant_id: int, payment_id: int) -> Payment | None:
    """Return a merchant's payment by its order id, or None."""
    transaction_id = await queries.select_payment_transaction(
        connection, merchant_id=merchant_id, payment_id=payment_id
    )
    if transaction_id is None:
        return None
    return await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)


async def reserve_payment_numbers(connection: PlainConnection) -> int:
    """Reserve a block of payment ids and return its first."""
    first: int = await queries.reserve_payment_numbers(connection)
    return first


async def reserve_transaction_numbers(connection: PlainConnection) -> int:
    """Reserve a block of transaction ids and return its first."""
    first: int = await queries.reserve_transaction_numbers(connection)
    return first


async def reserve_subscription_numbers(connection: PlainConnection) -> int:
    """Reserve a block of subscription ids and return its first."""
    first: int = await queries.reserve_subscription_numbers(connection)
    return first


async def count_unresolved(connection: PlainConnection) -> int:
    """Count attempts whose outcome is open."""
    count: int = await queries.select_unresolved(connection)
    return count
