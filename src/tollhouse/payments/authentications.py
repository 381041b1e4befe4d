"""Build authentications: records and successors, requests to the Directory Server, proofs, links.

The keys in the links are keyed hashes of IDs: any process can compute a link again, and the database cannot.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

from tollhouse.acquirers.model import Proof
from tollhouse.kernel.card import Card
from tollhouse.payments.dependencies import AuthenticationDependencies, PageLinks
from tollhouse.payments.model import Payment
from tollhouse.threeds.elements import encode_base64url
from tollhouse.threeds.model import (
    Authentication,
    AuthenticationRequest,
    AuthenticationResponse,
    AuthenticationState,
    BrowserData,
    CardRange,
)

#: threeDSRequestorChallengeInd: no preference, and mandated, which a soft decline asks for.
NO_PREFERENCE = "01"
MANDATED = "04"


def draft_authentication(
    deps: AuthenticationDependencies, payment: Payment, card_range: CardRange, *, after_soft_decline: bool
) -> Authentication:
    """Build the first authentication of an attempt. It is not stored yet."""
    authentication_id = uuid4()
    expires_at = deps.clock.now_of(payment.merchant_id) + timedelta(seconds=deps.timeouts.challenge)
    return Authentication(
        merchant_id=payment.merchant_id,
        authentication_id=authentication_id,
        series_id=authentication_id,
        payment_id=payment.payment_id,
        transaction_id=payment.transaction_id,
        attempt_number=payment.attempt.number,
        number=1,
        state=AuthenticationState.COLLECTING,
        page_digest=digest_key(page_key(deps.pages, authentication_id)),
        return_digest=digest_key(return_key(deps.pages, authentication_id)),
        three_ds_server_trans_id=uuid4(),
        version=card_range.version,
        method_url=card_range.method_url,
        challenge_indicator=MANDATED if after_soft_decline else NO_PREFERENCE,
        created_at=deps.clock.now(),
        expires_at=expires_at,
        due_at=expires_at,
    )


def draft_successor(deps: AuthenticationDependencies, old: Authentication) -> Authentication:
    """Build a new authentication behind the same page, with the same expiry."""
    authentication_id = uuid4()
    return Authentication(
        merchant_id=old.merchant_id,
        authentication_id=authentication_id,
        series_id=old.series_id,
        payment_id=old.payment_id,
        transaction_id=old.transaction_id,
        attempt_number=old.attempt_number,
        number=old.number + 1,
        state=AuthenticationState.COLLECTING,
        page_digest=old.page_digest,
        return_digest=digest_key(return_key(deps.pages, authentication_id)),
        three_ds_server_trans_id=uuid4(),
        version=old.version,
        method_url=old.method_url,
        challenge_indicator=old.challenge_indicator,
        created_at=deps.clock.now(),
        expires_at=old.expires_at,
        due_at=old.expires_at,
    )


def record_response_in_draft(
    deps: AuthenticationDependencies,
    draft: Authentication,
    answer: AuthenticationResponse,
    state: AuthenticationState,
    *,
    browser: BrowserData,
) -> Authentication:
    """Return a draft with the response of the Directory Server, which was requested before the draft was stored."""
    now = deps.clock.now()
    return replace(
        draft,
        state=state,
        browser=browser,
        requested_at=draft.created_at,
        answered_at=now,
        acs_trans_id=answer.acs_trans_id,
        ds_trans_id=answer.ds_trans_id,
        acs_url=answer.acs_url,
        trans_status=answer.status,
        status_reason=answer.reason,
        eci=answer.eci,
        cavv=answer.cavv,
        result_at=now if state.is_decided else None,
        # The payment follows at once, in the same process.
        due_at=None if state.is_decided else draft.due_at,
    )


def build_areq(
    deps: AuthenticationDependencies,
    payment: Payment,
    authentication: Authentication,
    *,
    card: Card,
    browser: BrowserData,
    send_before: float,
) -> AuthenticationRequest:
    """Build the request to the Directory Server, with its deadline for sending."""
    has_method = authentication.method_url is not None
    return AuthenticationRequest(
        three_ds_server_trans_id=authentication.three_ds_server_trans_id,
        version=authentication.version,
        card=card,
        money=payment.money,
        merchant_name=payment.descriptor,
        browser=browser,
        asked_at=deps.clock.now(),
        website=deps.pages.base_url,
        notification_url=return_url(deps.pages, authentication),
        results_url=f"{deps.pages.base_url}/3ds/results",
        method_completed=authentication.method_completed_at is not None if has_method else None,
        challenge_indicator=authentication.challenge_indicator,
        decoupled_minutes=max(1, int(deps.timeouts.challenge // 60)),
        send_before=send_before,
    )


def build_proof(authentication: Authentication) -> Proof | None:
    """Return the proof that the issuer checks in the authorization; None if nothing was proved."""
    if authentication.cavv is None or authentication.eci is None or authentication.ds_trans_id is None:
        return None
    return Proof(
        eci=authentication.eci,
        cavv=authentication.cavv,
        directory_transaction_id=str(authentication.ds_trans_id),
        version=authentication.version,
    )


def page_url(pages: PageLinks, authentication: Authentication) -> str:
    """Return the URL of our page, to which the merchant sends the cardholder."""
    return f"{pages.base_url}/3ds/{page_key(pages, authentication.series_id)}"


def return_url(pages: PageLinks, authentication: Authentication) -> str:
    """Return the URL to which the ACS sends the cardholder back. It is valid for this challenge alone."""
    return f"{pages.base_url}/3ds/return/{return_key(pages, authentication.authentication_id)}"


def method_url(pages: PageLinks, authentication: Authentication) -> str:
    """Return the URL to which the 3DS Method reports."""
    return f"{pages.base_url}/3ds/method/{method_key(pages, authentication.authentication_id)}"


def page_key(pages: PageLinks, series_id: UUID) -> str:
    """Return the key of a page: 256 bits that cannot be guessed."""
    return _key(pages, "page", series_id)


def return_key(pages: PageLinks, authentication_id: UUID) -> str:
    """Return the key of the return from one challenge."""
    return _key(pages, "return", authentication_id)


def method_key(pages: PageLinks, authentication_id: UUID) -> str:
    """Return the key under which a 3DS Method reports."""
    return _key(pages, "method", authentication_id)


def digest_key(key: str) -> bytes:
    """Hash a key for storage and lookup; it is random enough for a plain hash."""
    return hashlib.sha256(key.encode()).digest()


def _key(pages: PageLinks, purpose: str, id_: UUID) -> str:
    return encode_base64url(pages.vault.digest(f"3ds {purpose}|{id_}".encode()))
