"""The records of a timeline, and the entries that its rows become.

All times are the merchant's. If that time is ahead of real time, facts that other parties log too (acquirer requests,
delivery attempts) also show their real time.

The rows contain no card number, security code or authentication value, and so neither do the entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal

from tollhouse.ipn.model import DeliveryEntry
from tollhouse.kernel import codes
from tollhouse.kernel.ids import format_event_id
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import Mode, Status
from tollhouse.payments.reading.public_names import PublicName, name_transaction
from tollhouse.wire.render import render_instant

Row = Mapping[str, Any]

#: States in which no authentication result is expected.
OVER = frozenset({"passed", "failed", "abandoned", "superseded"})
#: Codes of blocked payments, for which neither the acquirer nor an authentication was requested.
RULES = frozenset({codes.BLACKLISTED, codes.VELOCITY, codes.ACCOUNT_DISABLED, codes.NO_ROUTE})

CAUSES = {
    "request": "was requested",
    "schedule": "was due by the schedule of its price",
    "expiry": "releases an authorization that was not captured",
    "issuer": "was decided by the issuer",
}
#: Later transactions in words. Others are named by their mode.
OPERATIONS = {"credit": "A refund", "chargeback": "A chargeback", "auth": "An authorization"}
DISPUTES = {
    "retrieval": "A request for information about a dispute",
    "answer": "An answer to a dispute",
    "first": "A chargeback",
    "second": "A second chargeback",
    "collection": "A referral to a collection agency",
    "won": "A won dispute",
}
#: Steps of an attempt other than a direct response to a request.
STEPS = {
    "challenged": "The cardholder must be authenticated first",
    "in_flight": "The cardholder is authenticated; the request is sent to the acquirer",
    "unknown": "No response arrived; the outcome is unknown",
    "reversing": "It is being reversed",
    "reversed": "It was reversed",
    "not_sent": "The request was not sent",
    "approved": "The acquirer had approved",
    "declined": "The acquirer had declined",
}

#: The only step that is a direct response and does not end the transaction.
SOFT_DECLINE = "The acquirer requires authentication of the cardholder"


@dataclass(frozen=True, slots=True)
class TransactionRows:
    """All rows of a transaction."""

    transaction: Row
    attempts: Sequence[Row]
    steps: Sequence[Row]
    reversals: Sequence[Row]
    authentications: Sequence[Row]
    ledger: Sequence[Row]
    deliveries: Sequence[DeliveryEntry]


class EntryKind(IntEnum):
    """The subject of an entry, in the order for entries of the same moment."""

    REQUEST = 1
    RULE = 2
    ROUTE = 3
    THREE_DS = 4
    ACQUIRER = 5
    STATE = 6
    LEDGER = 7
    CALLBACK = 8

    @property
    def word(self) -> KindWord:
        """The name of the kind in the API."""
        return WORDS[self]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of a timeline: a sentence with its facts."""

    at: datetime
    kind: EntryKind
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events of one transaction, in order."""

    payment_id: int
    transaction_id: int
    entries: tuple[HistoryEntry, ...]


def build_timeline(rows: TransactionRows) -> tuple[HistoryEntry, ...]:
    """Return the entries in chronological order."""
    finished_at: datetime | None = rows.transaction["finished_at"]
    entries = [
        *_tell_request(rows.transaction),
        *_describe_authentications(rows.authentications),
        *_tell_attempts(rows),
        *_tell_outcome(rows.transaction),
    ]
    following = [*_describe_reversals(rows.reversals), *_tell_ledger(rows.ledger), *_tell_callbacks(rows.deliveries)]
    if finished_at is not None:
        following = [replace(entry, at=max(entry.at, finished_at)) for entry in following]
    ranked = [*((entry.at, 0, entry) for entry in entries), *((entry.at, 1, entry) for entry in following)]
    return tuple(entry for *_, entry in sorted(ranked, key=lambda each: (each[0], each[1], each[2].kind)))


def _facts(**facts: Any) -> dict[str, str]:
    """Return the given facts as texts, without missing ones."""
    return {name: str(fact) for name, fact in facts.items() if fact is not None and fact != ""}


def _real_time(at: datetime, real_at: datetime) -> dict[str, str]:
    """Return the real time, if the merchant's time differs from it."""
    return {} if at == real_at else {"realTime": render_instant(real_at)}


def _tell_request(row: Row) -> Iterator[HistoryEntry]:
    source, terms = json.loads(row["source"]), json.loads(row["terms"])
    amount = Money(row["amount_minor"], Currency.of(row["currency"])).to_text()
    changing = None if row["cause"] else terms.get("changing")
    name = _name(row)
    facts = _facts(
        requestId=row["request_id"],
        action=name.action,
        mode=name.mode,
        amount=amount,
        source=source["kind"],
        brand=source["brand"],
        number=source["number"],
        sku=terms["items"][0].get("skuName"),
        consumerId=row["consumer_id"],
        initiator=row["initiator"],
        reason=row["given_reason"] or row["reason"],
        actsOn=row["basis_id"],
        pageTry=row["page_try"],
        subscriptionId=row["subscription_id"] or changing,
        period=row["period"],
        renewalTry=row["try"],
    )
    word = DISPUTES.get(row["dispute_step"]) or OPERATIONS.get(row["mode"], f"A {row['mode']}")
    yield HistoryEntry(
        row["created_at"], EntryKind.REQUEST, f"{word} of {amount} {_describe_cause(row, changing)}", facts
    )


def _name(row: Row) -> PublicName:
    """Return the public name of the transaction."""
    step = DisputeStep(row["dispute_step"]) if row["dispute_step"] else None
    return name_transaction(Mode(row["mode"]), Status(row["status"]), step)


def _describe_cause(row: Row, changing: int | None) -> str:
    """Return the cause of the transaction. `changing` is the subscription whose new card it verifies."""
    if row["subscription_id"] is not None:
        return f"renews subscription {row['subscription_id']}: period {row['period']}, attempt {row['try']}"
    if changing is not None:
        return f"verifies another card for subscription {changing}"
    return CAUSES[row["cause"] or "request"]


def _tell_outcome(row: Row) -> Iterator[HistoryEntry]:
    if row["finished_at"] is None:
        return
    code, status = codes.get_code(row["code"]), _name(row).status
    facts = _facts(status=status, code=code.code, description=code.text, codeCategory=code.category)
    if code.code in RULES:
        yield HistoryEntry(row["finished_at"], EntryKind.RULE, f"A rule of the gateway blocked it: {code.text}", facts)
    yield HistoryEntry(row["finished_at"], EntryKind.STATE, f"It is finished: {status}", facts)
    if row["excess_minor"]:
        excess = Money(row["excess_minor"], Currency.of(row["currency"])).to_text()
        text = f"{excess} of it exceeds the remaining amount of the payment"
        yield HistoryEntry(row["finished_at"], EntryKind.STATE, text, _facts(excessAmount=excess))


def _tell_attempts(rows: TransactionRows) -> Iterator[HistoryEntry]:
    is_blocked = rows.transaction["code"] in RULES
    changed: dict[int, list[Row]] = {}
    for step in rows.steps:
        changed.setdefault(step["number"], []).append(step)
    for row in rows.attempts:
        steps = changed.get(row["number"], [])
        facts = _facts(attempt=row["number"], acquirer=row["acquirer"], reference=row["reference"])
        # A finished challenge moves `sent_at`: the first request, if any, was sent when the transaction began.
        begun = rows.transaction["created_at"] if row["number"] == 1 else row["sent_at"]
        if not is_blocked:
            yield HistoryEntry(begun, EntryKind.ROUTE, f"Acquirer {row['acquirer']} was chosen", facts)
        for step in steps:
            if (step["left_state"], step["reached_state"]) == ("in_flight", "declined"):
                yield _tell_question(row, facts)
            yield _describe_step(step, facts, finished_at=rows.transaction["finished_at"])
        yield from _describe_response(row, rows.transaction, facts, is_plain=not steps and not is_blocked)


def _describe_step(step: Row, facts: Mapping[str, str], *, finished_at: datetime | None) -> HistoryEntry:
    """Describe a step. The step that finished the transaction was written a moment after its outcome is dated."""
    facts = {**facts, **_real_time(step["at"], step["real_at"])}
    if step["reached_state"] is None:
        return HistoryEntry(
            step["at"], EntryKind.ACQUIRER, "The acquirer was queried, and the outcome is still unknown", facts
        )
    own = _facts(**{"from": step["left_state"], "to": step["reached_state"], "responseCode": step["response_code"]})
    at = min(step["at"], finished_at) if finished_at else step["at"]
    is_soft_decline = (step["left_state"], step["reached_state"]) == ("in_flight", "declined")
    text = SOFT_DECLINE if is_soft_decline else STEPS[step["reached_state"]]
    return HistoryEntry(at, EntryKind.ACQUIRER, text, {**facts, **own})


def _tell_question(row: Row, facts: Mapping[str, str]) -> HistoryEntry:
    asked = {**facts, **_real_time(row["sent_at"], row["real_at"])}
    return HistoryEntry(row["sent_at"], EntryKind.ACQUIRER, f"Acquirer {row['acquirer']} gets the request", asked)


def _describe_response(
    row: Row, transaction: Row, facts: Mapping[str, str], *, is_plain: bool
) -> Iterator[HistoryEntry]:
    """Describe the direct response to a request, and the time of the request."""
    if not is_plain:
        return
    yield _tell_question(row, facts)
    if row["state"] in {"approved", "declined"} and transaction["finished_at"] is not None:
        answer = _facts(
            state=row["state"],
            responseCode=row["response_code"],
            adviceCode=row["advice_code"],
            approvalCode=row["approval_code"],
        )
        # Declined without a code: the request was not sent, or the acquirer did not know it when it was queried later.
        is_answer = row["state"] == "approved" or row["response_code"] is not None
        text = f"Acquirer {row['acquirer']} " + (f"answered: {row['state']}" if is_answer else "was not reached")
        yield HistoryEntry(transaction["finished_at"], EntryKind.ACQUIRER, text, {**facts, **answer})


def _describe_reversals(rows: Sequence[Row]) -> Iterator[HistoryEntry]:
    """Describe events after the outcome: a late approval, and the reversal of its reference."""
    for row in rows:
        facts = _facts(attempt=row["number"], acquirer=row["acquirer"], reference=row["reference"])
        if row["reason"] == "not_found":
            text = "The acquirer did not know the request. It is reversed, in case it arrives later"
            yield HistoryEntry(row["opened_at"], EntryKind.ACQUIRER, text, facts)
        if row["approved_at"] is not None:
            text = "The acquirer approved too late. The outcome stays, and the approval is reversed"
            approval = _facts(approvalCode=row["approval_code"])
            yield HistoryEntry(row["approved_at"], EntryKind.ACQUIRER, text, {**facts, **approval})
        if row["acknowledged_at"] is not None and row["reason"] != "reversed":
            text = f"Acquirer {row['acquirer']} confirmed that nothing is left under the reference"
            yield HistoryEntry(row["acknowledged_at"], EntryKind.ACQUIRER, text, facts)


def _describe_authentications(rows: Sequence[Row]) -> Iterator[HistoryEntry]:
    """Describe the messages by their times. For a challenge the stored status is that of the result."""
    for row in rows:
        facts = _facts(attempt=row["attempt_number"], version=row["version"], **_name_messages(row))
        is_challenged = row["result_at"] is None or row["result_at"] != row["answered_at"]
        last = _facts(transStatus=row["trans_status"], reason=row["status_reason"], eci=row["eci"])
        answered = "The Directory Server responded: a challenge" if is_challenged else "The Directory Server responded"
        moments: tuple[tuple[str, str, Mapping[str, str]], ...] = (
            ("created_at", "Authentication begins", {"challengeIndicator": row["challenge_indicator"]}),
            ("method_completed_at", "The 3DS Method is done", {}),
            ("requested_at", "The Directory Server gets the request (AReq)", {}),
            ("answered_at", f"{answered} (ARes)", {} if is_challenged else last),
            ("opened_at", "The browser is sent to the bank (CReq)", {}),
            ("result_at", f"Authentication {row['state']}" + (" (RReq)" if is_challenged else ""), last),
        )
        for name, text, more in moments:
            if row[name] is not None:
                yield HistoryEntry(row[name], EntryKind.THREE_DS, text, {**facts, **more})


def _name_messages(row: Row) -> dict[str, str | None]:
    """Return the IDs of the messages after the authentication. Before, a result could be forged with them."""
    if row["state"] not in OVER:
        return {}
    return {
        "threeDSServerTransID": row["three_ds_server_trans_id"],
        "dsTransID": row["ds_trans_id"],
        "acsTransID": row["acs_trans_id"],
    }


def _tell_ledger(rows: Sequence[Row]) -> Iterator[HistoryEntry]:
    for row in rows:
        amount = Money(row["amount_minor"], Currency.of(row["currency"])).to_text()
        facts = _facts(debit=row["debit"], credit=row["credit"], amount=amount)
        yield HistoryEntry(
            row["posted_at"], EntryKind.LEDGER, f"{amount} posted from {row['credit']} to {row['debit']}", facts
        )


def _tell_callbacks(deliveries: Sequence[DeliveryEntry]) -> Iterator[HistoryEntry]:
    for one in deliveries:
        facts = _facts(
            eventId=format_event_id(one.event_id),
            sequence=one.sequence,
            delivery=one.number,
            format=one.form,
            url=one.url,
        )
        text = "Its callback is sent" if one.number == 1 else "Its callback is sent again"
        yield HistoryEntry(one.at, EntryKind.CALLBACK, text, facts)
        for attempt in one.attempts:
            how = _facts(
                attempt=attempt.number,
                httpCode=attempt.status,
                error=attempt.error,
                milliseconds=attempt.duration_ms,
                nextAt=attempt.next_at.isoformat() if attempt.next_at else None,
            )
            said = "was acknowledged" if attempt.error is None else "was not acknowledged"
            text = f"Attempt {attempt.number} at its callback {said}"
            yield HistoryEntry(
                attempt.at, EntryKind.CALLBACK, text, {**facts, **how, **_real_time(attempt.at, attempt.started_at)}
            )


KindWord = Literal["request", "rule", "route", "3ds", "acquirer", "state", "ledger", "callback"]

WORDS: Mapping[EntryKind, KindWord] = {
    EntryKind.REQUEST: "request",
    EntryKind.RULE: "rule",
    EntryKind.ROUTE: "route",
    EntryKind.THREE_DS: "3ds",
    EntryKind.ACQUIRER: "acquirer",
    EntryKind.STATE: "state",
    EntryKind.LEDGER: "ledger",
    EntryKind.CALLBACK: "callback",
}
