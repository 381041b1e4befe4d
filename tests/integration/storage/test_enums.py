"""The enums of the schema and the values of the program are the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import asyncpg
import pytest

from tollhouse.acquirers.model import Initiator, Reason
from tollhouse.billing.model import EndReason, SubscriptionState
from tollhouse.catalog.model import IpnFormat, SkuKind, ThreeDsRule
from tollhouse.ipn.form import Form
from tollhouse.ipn.model import DeliveryState
from tollhouse.ledger.model import LedgerAccount
from tollhouse.notices.model import EmailState
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.model import AttemptState, Cause, Mode, Status
from tollhouse.payments.reversals import ReversalReason
from tollhouse.risk.assess import Kind as VelocityKind
from tollhouse.simulator.test_data import Type as TestDataType
from tollhouse.threeds.model import AuthenticationState

#: Enums without a type in the program: an operator disables a merchant, and a renewal ends as its transaction does.
MERCHANT_STATES = ("active", "disabled")
RENEWAL_STATES = ("open", "paid", "failed")
#: What the simulated issuer writes, by the kind of the message.
JOURNAL_KINDS = ("sale", "authorization", "verification", "reversal", "capture", "void", "credit")

GATEWAY: dict[str, Iterable[str]] = {
    "attempt_state": AttemptState,
    "authentication_state": AuthenticationState,
    "delivery_form": get_args(Form),
    "delivery_state": get_args(DeliveryState),
    "dispute_step": DisputeStep,
    "initiation_reason": get_args(Reason),
    "initiator": get_args(Initiator),
    "ipn_format": get_args(IpnFormat),
    "ledger_account": LedgerAccount,
    "merchant_state": MERCHANT_STATES,
    "notice_state": EmailState,
    "operation_cause": Cause,
    "renewal_state": RENEWAL_STATES,
    "reversal_reason": ReversalReason,
    "sku_kind": get_args(SkuKind),
    "subscription_end": EndReason,
    "subscription_status": SubscriptionState,
    "three_ds_rule": get_args(ThreeDsRule),
    "transaction_mode": Mode,
    "transaction_status": Status,
    "velocity_kind": get_args(VelocityKind),
}
SIMULATOR: dict[str, Iterable[str]] = {"journal_kind": JOURNAL_KINDS, "test_data_type": get_args(TestDataType)}

ENUMS = """
    select t.typname::text as name, array_agg(e.enumlabel::text) as labels
    from pg_type t join pg_enum e on e.enumtypid = t.oid
    where t.typnamespace = $1::text::regnamespace
    group by 1
"""


@pytest.mark.parametrize(("schema", "values"), [("gateway", GATEWAY), ("simulator", SIMULATOR)])
async def test_enums_have_the_values_of_the_program(
    database_dsn: str, schema: str, values: dict[str, Iterable[str]]
) -> None:
    """Each enum of the schema has exactly the values that its type in the program has, and none is without one."""
    connection = await asyncpg.connect(database_dsn)
    try:
        found = {row["name"]: set(row["labels"]) for row in await connection.fetch(ENUMS, schema)}
    finally:
        await connection.close()
    assert found == {name: set(labels) for name, labels in values.items()}
