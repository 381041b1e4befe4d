"""The two durable steps: **begin** commits intentions, **move** commits what became of them.

Both are flush functions of a coalescer: a batch, one statement where that is enough and one transaction where it is
not, and rows in the order of their keys. Both bear repetition, since a COMMIT may have gone through although its
answer was lost: a claim, a token or a row that bears one's own ids is one's own.

A round trip costs more than what it carries: the process has other payments to see to before it hears the answer, and
sends the next statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from tollhouse.consumers.model import Group
from tollhouse.kernel.requests import Claim
from tollhouse.payments import records, reversal_records
from tollhouse.payments.model import AttemptState, BeginRows, Consequence, Payment, Preparation, Status
from tollhouse.payments.steps import (
    BeginRecord,
    Begun,
    Claimed,
    Committed,
    DoubleClick,
    FinishRecord,
    KeyAlreadyClaimed,
    Outdated,
    TokenAlreadyUsed,
)
from tollhouse.payments.velocity import build_marks
from tollhouse.risk.model import NO_LIMITS, Count, Facts, Limits
from tollhouse.storage.bundle import Bundle, Overtaken
from tollhouse.storage.queries import load_queries
from tollhouse.threeds.store import insert_authentications
from tollhouse.vault.security_codes import delete_security_codes, insert_security_codes

if TYPE_CHECKING:
    from tollhouse.kernel.clock import DatabaseClock
    from tollhouse.storage.database import PlainConnection

#: By what a move is known in its batch: transaction, number of the attempt, state in which it was seen.
MoveKey = tuple[int, int, str]

queries = load_queries("tollhouse.payments")


async def flush_beginnings(
    clock: DatabaseClock,
    preparations: Sequence[Preparation],
    connection: PlainConnection,
    batch: Sequence[BeginRecord],
    *,
    limits: Limits = NO_LIMITS,
) -> list[Begun]:
    """Begin a batch of payments by one call of `begin_payments_v1`, and return the outcome of each."""
    placed = [(place, item.payment) for place, item in enumerate(batch, 1)]
    prepared = {kind.value: _prepare(kind, preparations, placed) for kind in BeginRows}
    found = queries.begin_payments(
        connection,
        payments=[records.intent_row(place, item) for place, item in enumerate(batch, 1)],
        consumers=[(place, *item.consumer) for place, item in enumerate(batch, 1) if item.consumer],
        marks=[(place, *mark) for place, payment in placed for mark in build_marks(payment) if limits.is_set],
        window_seconds=limits.window_seconds,
        most=limits.most,
        **prepared,
    )
    rows = [row async for row in found]
    clock.observe(rows[0]["database_time"])
    return [_read_begun(row) for row in rows]


def _prepare(
    kind: BeginRows, preparations: Sequence[Preparation], placed: Sequence[tuple[int, Payment]]
) -> list[tuple[Any, ...]]:
    """Return the rows of one kind, each behind the place of its payment."""
    chosen = [preparation for preparation in preparations if preparation.kind is kind]
    return [(place, *row) for place, payment in placed for each in chosen for row in each.rows(payment)]


def _read_begun(row: Mapping[str, Any]) -> Begun:
    match row["outcome"]:
        case "begun" | "begun_before":
            group = row["group_id"]
            counts = {each["kind"]: Count(each["attempts"], each["declines"]) for each in row["counts"] or ()}
            facts = Facts(group == Group.BLACKLIST, group == Group.WHITELIST, counts)
            return Committed(facts, is_account_disabled=bool(row["is_account_disabled"]))
        case "claimed":
            return KeyAlreadyClaimed()
        case "token_gone":
            return TokenAlreadyUsed()
        case "superseded":
            return Outdated()
        case _:
            return DoubleClick(row["holder_id"])


async def flush_moves(
    clock: DatabaseClock,
    consequences: Sequence[Consequence],
    connection: PlainConnection,
    batch: Sequence[FinishRecord],
) -> list[bool]:
    """Commit a batch of moves; return for each whether it was still where it had been seen.

    Of two that move one attempt from the same state the earlier counts, as if they had come in two batches. Where
    nobody was faster, and what follows stands alone, it is one statement, which commits by itself. An approval that
    came too late is reversed: that is committed with the batch that finds it.
    """
    earliest = {_key(move): move for move in reversed(batch)}
    is_contested = any(_is_approval(move) and move is not earliest[_key(move)] for move in batch)
    ordered = sorted(earliest.values(), key=lambda move: (move.payment.merchant_id, move.payment.transaction_id))
    moved_keys = None if is_contested else await _move_together(clock, consequences, connection, ordered)
    if moved_keys is None:
        async with connection.transaction():
            moved_keys = await _move_in_steps(clock, consequences, connection, ordered)
            lost = [move for move in batch if _key(move) not in moved_keys or move is not earliest[_key(move)]]
            await _insert_late_approvals(connection, [move for move in lost if _is_approval(move)])
    return [_key(move) in moved_keys and move is earliest[_key(move)] for move in batch]


def _is_approval(move: FinishRecord) -> bool:
    return move.payment.attempt.state is AttemptState.APPROVED


async def _insert_late_approvals(connection: PlainConnection, lost: Sequence[FinishRecord]) -> None:
    """Have approvals reversed whose attempts were settled otherwise."""
    if lost:
        first = {(move.payment.merchant_id, *_key(move)[:2]): move for move in reversed(lost)}
        await queries.insert_late_approvals(
            connection, **reversal_records.columns_of_late_approvals(list(first.values()))
        )


async def _move_together(
    clock: DatabaseClock,
    consequences: Sequence[Consequence],
    connection: PlainConnection,
    moves: Sequence[FinishRecord],
) -> set[MoveKey] | None:
    """Move all of these in one statement with all that follows; where that is not possible, move nothing: None."""
    settled = _find_settled(moves)
    following = _find_following(consequences, settled) if all(payment.mode.is_first for payment in settled) else None
    if following is None:
        return None
    bundle = cast("PlainConnection", Bundle(connection))
    await _follow_up(bundle, moves)
    for consequence, rows in following:
        await consequence.write(bundle, rows)
    try:
        return await _move_attempts(clock, bundle, moves, whole=True)
    except Overtaken:
        return None


def _find_following(
    consequences: Sequence[Consequence], settled: Sequence[Payment]
) -> list[tuple[Consequence, Sequence[Any]]] | None:
    """Return what follows from payments, or None when some of it does not stand alone."""
    following: list[tuple[Consequence, Sequence[Any]]] = []
    for consequence in _by_rank(consequences):
        rows = [row for payment in settled for row in consequence.rows(payment)]
        if rows and not consequence.stands_alone:
            return None
        if rows:
            following.append((consequence, rows))
    return following


async def _move_in_steps(
    clock: DatabaseClock,
    consequences: Sequence[Consequence],
    connection: PlainConnection,
    moves: Sequence[FinishRecord],
) -> set[MoveKey]:
    """Move those of these that are still where they had been seen, then write what follows from them."""
    moved_keys = await _move_attempts(clock, connection, moves, whole=False)
    moved = [move for move in moves if _key(move) in moved_keys]
    if len(moved) < len(moves):
        moved_keys |= await _find_own_moves(connection, [move for move in moves if _key(move) not in moved_keys])
    await _follow_up(connection, moved)
    await write_consequences(connection, consequences, _find_settled(moved))
    return moved_keys


async def _move_attempts(
    clock: DatabaseClock, connection: PlainConnection, moves: Sequence[FinishRecord], *, whole: bool
) -> set[MoveKey]:
    """Move attempts, and return those that were still where they had been seen; raise unless that is the `whole`."""
    rows = [row async for row in queries.move_attempts(connection, **records.columns_of_moves(moves), whole=whole)]
    clock.observe(rows[0]["database_time"])
    return {(row["transaction_id"], row["number"], row["expected"]) for row in rows if row["transaction_id"]}


def _find_settled(moves: Iterable[FinishRecord]) -> list[Payment]:
    return [move.payment for move in moves if move.payment.status is not Status.PENDING]


def _by_rank(consequences: Sequence[Consequence]) -> list[Consequence]:
    return sorted(consequences, key=lambda consequence: consequence.rank)


async def write_consequences(
    connection: PlainConnection, consequences: Sequence[Consequence], settled: Sequence[Payment]
) -> None:
    """Write what follows from payments, in the transaction that settles them."""
    for consequence in _by_rank(consequences):
        following = [row for payment in settled for row in consequence.rows(payment)]
        if following:
            await consequence.write(connection, following)


async def _find_own_moves(connection: PlainConnection, missed: Sequence[FinishRecord]) -> set[MoveKey]:
    """Return those of the moves that an earlier try of this batch has committed, with all that follows from them."""
    rows = queries.select_own_moves(connection, **records.columns_of_own_moves(missed))
    return {(row["transaction_id"], row["number"], row["expected"]) async for row in rows}


def _key(move: FinishRecord) -> MoveKey:
    return (move.payment.transaction_id, move.payment.attempt.number, move.expected)


async def _follow_up(connection: PlainConnection, moved: Sequence[FinishRecord]) -> None:
    """Write what a move brings with it besides its settlement."""
    following = [move for move in moved if move.following]
    if following:
        await queries.insert_attempts(connection, **records.columns_of_following(following))
    reversals = [move for move in moved if move.reversal]
    if reversals:
        await queries.insert_reversals(connection, **reversal_records.columns_of_reversals(reversals))
    challenges = [move.challenge for move in moved if move.challenge]
    if challenges:
        await insert_authentications(connection, challenges)
    await insert_security_codes(connection, [move.code for move in moved if move.code])
    await delete_security_codes(connection, [move.erase_code_of for move in moved if move.erase_code_of])


async def select_claim(connection: PlainConnection, claim: Claim) -> Claimed | None:
    """Return who holds a request id, or None when it is free."""
    row = await queries.select_claim(
        connection, merchant_id=claim.merchant_id, operation=claim.operation, request_id=claim.request_id
    )
    return Claimed(**row) if row else None


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


async def count_unresolved(connection: PlainConnection) -> int:
    """Count attempts whose outcome is open."""
    count: int = await queries.select_unresolved(connection)
    return count
