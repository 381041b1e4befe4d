"""Challenges: the RReq decides, independent of the browser, and every race has one winner."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.cardholders import PAGE_FIELDS, REDIRECT_URL, Answer, ServedGateway
from tests.support.clock import leap

from tollhouse.payments.authentication.resume import abandon, apply_decision, sweep_authentications
from tollhouse.payments.pages import sign_return
from tollhouse.stage.demo import MERCHANT_ID
from tollhouse.threeds.store import select_by_trans_id

ENDS = [("pass", "success", "0"), ("fail", "fail", "1010"), ("cancel", "fail", "1010"), ("timeout", "fail", "1011")]


def way_back(answer: Answer) -> dict[str, str]:
    """Return the parameters of the URL to which the browser is sent."""
    assert answer.status == 303, answer.text
    parts = urlsplit(answer.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == REDIRECT_URL.partition("?")[0]
    assert parts.fragment == "top"
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    assert query.pop("order") == "7"
    return query


async def count_journal(served: ServedGateway) -> int:
    """Count the authorizations at the issuer."""
    return len(await served.fetch("select from simulator.journal"))


async def test_a_passed_challenge_is_approved(served: ServedGateway) -> None:
    """In a browser: page, ACS, code, and return. The payment has its proof, and the shop gets is_approved=1."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    returned = await served.come_back(page)
    left = way_back(await served.get(returned.headers["Location"]))
    payment = await served.settled(answer)
    [secret] = await served.parts.ipn_secrets(payment.merchant_id)
    told = {"order_id": str(payment.payment_id), "cb_transaction_id": str(payment.transaction_id)}
    told |= {"is_approved": "1", "cb_code": "0"}
    consumer = dict.fromkeys(("ustas", "consumer_id"), payment.consumer_id)
    assert left == told | consumer | {"sh": sign_return(secret, told)}
    assert (payment.status, payment.attempt.number, payment.attempt.card) == ("success", 1, None)
    [row] = await served.fetch("select cavv, spent_by from simulator.authentication")
    assert row["spent_by"] == payment.attempt.reference
    assert await served.fetch("select from security_code") == []
    assert len(await served.fetch("select from event")) == 1


async def test_three_wrong_codes_fail(served: ServedGateway) -> None:
    """After three wrong codes the shop gets is_approved=0 and code 1010, and the issuer was not called."""
    answer = await served.pay("challenge")
    returned = await served.come_back(await served.challenge(answer), code="000000")
    assert way_back(await served.get(returned.headers["Location"]))["is_approved"] == "0"
    assert (await served.settled(answer)).code == "1010"
    assert await count_journal(served) == 0


@pytest.mark.parametrize("at_once", [True, False], ids=["asked at once", "asked by the page"])
@pytest.mark.parametrize(("result", "status", "code"), ENDS)
async def test_every_end_of_a_challenge_ends_the_payment(
    served: ServedGateway, result: str, status: str, code: str, *, at_once: bool
) -> None:
    """Every end of a challenge ends the payment without a browser."""
    answer = await served.pay("challenge", browser=at_once)
    page = await served.challenge(answer)
    await served.get(page)
    acs_url, fields = (await served.get(page)).form()
    await served.post(acs_url, fields)
    await served.answer_bank(answer, result)
    payment = await served.settled(answer)
    assert (payment.status, payment.code) == (status, code)
    assert await served.fetch("select from security_code") == []
    await served.followed(answer)


@pytest.mark.parametrize(
    ("card", "status", "code"),
    [
        ("frictionless", "success", "0"),
        ("attempted", "success", "0"),
        ("denied", "fail", "1010"),
        ("unavailable", "success", "0"),
        ("rejected", "fail", "1010"),
        ("informational", "success", "0"),
        ("visa", "success", "0"),
        ("challenge_51", "fail", None),
    ],
)
async def test_the_page_sends_the_areq(served: ServedGateway, card: str, status: str, code: str | None) -> None:
    """Our page collects browser data, sends the AReq, and redirects to the shop without a challenge."""
    answer = await served.pay(card)
    page = await served.challenge(answer)
    if card == "challenge_51":
        await served.come_back(page)
    payment = await served.settled(answer)
    assert payment.status == status
    assert code is None or payment.code == code
    left = way_back(await served.get(page))
    assert left["is_approved"] == ("1" if status == "success" else "0")


async def test_a_completed_method_is_reported(served: ServedGateway) -> None:
    """A completed 3DS Method is reported in the AReq; a report with a wrong key is ignored."""
    answer = await served.pay("challenge_method")
    page = answer.json["payment"]["url"]
    shown = (await served.get(page)).text
    authentication = await served.authentication(answer)
    data = {"threeDSServerTransID": str(authentication.three_ds_server_trans_id)}
    packed = base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")
    assert (await served.post("/3ds/method/wrong", {"threeDSMethodData": packed})).status == 404
    assert (await served.authentication(answer)).method_completed_at is None
    bank = await served.post(*_method_form(shown))
    reported = await served.post(*bank.form())
    assert reported.status == 200
    assert (await served.authentication(answer)).method_completed_at is not None
    await served.come_back(await served.challenge(answer))
    assert (await served.settled(answer)).status == "success"


def _method_form(text: str) -> tuple[str, dict[str, str]]:
    return Answer(200, {}, text[text.index('id="method"') - 6 :]).form()


async def test_a_browser_after_the_result_goes_to_the_shop(served: ServedGateway) -> None:
    """If the RReq was first, the browser goes straight to the shop."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    await served.answer_bank(answer, "pass")
    await served.settled(answer)
    returned = await served.come_back(page) if '"creq"' in (await served.get(page)).text else None
    assert returned is None
    assert way_back(await served.get(page))["is_approved"] == "1"


async def test_a_browser_before_the_result_waits(served: ServedGateway) -> None:
    """A browser that returns first waits, and continues after the RReq."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    back = await _return_address(served, page)
    await served.post(back, {"cres": "e30"})
    waiting = await served.get(back)
    assert "One moment" in waiting.text
    poll = asyncio.create_task(served.get(f"{back}/wait"))
    await served.answer_bank(answer, "pass")
    assert (await poll).json == {"ready": True}
    assert way_back(await served.get(back))["is_approved"] == "1"


async def _return_address(served: ServedGateway, page: str) -> str:
    """Return the URL to which the ACS would send the browser."""
    await served.get(page)
    [row] = await served.fetch("select notification_url from simulator.authentication")
    url: str = row["notification_url"]
    return url


async def test_a_browser_waits_ten_seconds_at_most(served: ServedGateway) -> None:
    """Without a result the shop gets is_approved=0 after ten seconds; a later RReq still decides."""
    answer = await served.pay("challenge")
    back = await _return_address(served, await served.challenge(answer))
    await served.post(back, {})
    await served.fetch("update authentication set waiting_since = waiting_since - interval '11 seconds'")
    left = way_back(await served.get(back))
    assert (left["is_approved"], "cb_code" in left) == ("0", False)
    await served.answer_bank(answer, "pass")
    assert (await served.settled(answer)).status == "success"
    assert way_back(await served.get(back))["is_approved"] == "1"


async def test_an_open_outcome_is_not_reported_as_approved(served: ServedGateway) -> None:
    """If the acquirer takes longer than ten seconds, is_approved is 0 and there is no code."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    await served.fetch(
        "update authentication set state = 'passed', result_at = now(), due_at = null,"
        " waiting_since = now() - interval '11 seconds'"
    )
    left = way_back(await served.get(page))
    assert (left["is_approved"], "cb_code" in left) == ("0", False)


async def test_a_repeated_result_changes_nothing(served: ServedGateway) -> None:
    """Ten concurrent copies of an RReq get ten acknowledgements, one authorization and one event."""
    answer = await served.pay("challenge", browser=True)
    authentication = await served.authentication(answer)
    replies = await asyncio.gather(*(served.report(authentication, "N") for _ in range(10)))
    assert {reply.json["messageType"] for reply in replies} == {"RRes"}
    assert (await served.settled(answer)).code == "1010"
    assert len(await served.fetch("select from event")) == 1


async def test_a_contradicting_result_is_acknowledged_and_ignored(served: ServedGateway) -> None:
    """The first result counts: a later Y does not approve, a later N does not void."""
    answer = await served.pay("challenge", browser=True)
    authentication = await served.authentication(answer)
    await served.report(authentication, "N")
    late = await served.report(authentication, "Y")
    assert late.json["resultsStatus"] == "01"
    assert (await served.settled(answer)).code == "1010"
    assert await count_journal(served) == 0
    other = await served.pay("challenge", browser=True)
    await served.answer_bank(other, "pass")
    await served.report(await served.authentication(other), "N")
    assert (await served.settled(other)).status == "success"


async def test_a_forged_return_proves_nothing(served: ServedGateway) -> None:
    """A forged CRes with status Y authorizes nothing and does not end the challenge."""
    answer = await served.pay("challenge")
    page = await served.challenge(answer)
    back = await _return_address(served, page)
    authentication = await served.authentication(answer)
    forged = {
        "messageType": "CRes",
        "messageVersion": "2.2.0",
        "threeDSServerTransID": str(authentication.three_ds_server_trans_id),
        "acsTransID": str(authentication.acs_trans_id),
        "challengeCompletionInd": "Y",
        "transStatus": "Y",
    }
    packed = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    assert (await served.post(back, {"cres": packed})).status == 303
    await served.fetch("update authentication set waiting_since = waiting_since - interval '11 seconds'")
    assert way_back(await served.get(back))["is_approved"] == "0"
    assert (await served.payment(answer)).status == "pending"
    assert await count_journal(served) == 0


async def test_a_forged_result_needs_the_directorys_id(served: ServedGateway) -> None:
    """The data that pass through the browser do not suffice to forge an RReq."""
    answer = await served.pay("challenge", browser=True)
    authentication = await served.authentication(answer)
    reply = await served.report(authentication, "Y", dsTransID=str(authentication.acs_trans_id))
    assert (reply.json["messageType"], reply.json["errorCode"]) == ("Erro", "301")
    assert (await served.authentication(answer)).state == "challenged"


async def test_a_made_up_proof_is_declined_by_the_issuer(served: ServedGateway) -> None:
    """An RReq with a forged CAVV ends as a decline of the authorization."""
    answer = await served.pay("challenge", browser=True)
    await served.report(await served.authentication(answer), "Y")
    assert (await served.settled(answer)).code == "5082"


async def test_an_abandoned_challenge_ends_and_stays_ended(served: ServedGateway) -> None:
    """After its time the sweep ends the payment with 1011; a later RReq is acknowledged and ignored."""
    answer = await served.pay("challenge", browser=True)
    await served.fetch("update authentication set expires_at = now(), due_at = now()")
    assert await sweep_authentications(served.parts.authentication) == 1
    payment = await served.settled(answer)
    assert (payment.status, payment.code) == ("fail", "1011")
    assert len(await served.fetch("select from event")) == 1
    late = await served.report(await served.authentication(answer), "Y")
    assert late.json["messageType"] == "RRes"
    await asyncio.sleep(0.1)
    assert (await served.payment(answer)).code == "1011"
    assert await count_journal(served) == 0
    ended = await served.get(answer.json["payment"]["url"])
    assert ended.status == 200
    assert "Not confirmed in time" in ended.text
    assert "is_approved=0&amp;cb_code=1011&amp;cb_transaction_id=" in ended.text
    assert await sweep_authentications(served.parts.authentication) == 0


async def test_a_challenge_expires_by_the_merchants_clock(served: ServedGateway) -> None:
    """A challenge ends after 15 minutes by the merchant's clock, and not a minute earlier."""
    answer = await served.pay("challenge", browser=True)
    clock = served.parts.clock
    await leap(served.parts.database, MERCHANT_ID, clock, minutes=14)
    assert await sweep_authentications(served.parts.authentication) == 0
    await leap(served.parts.database, MERCHANT_ID, clock, minutes=1)
    assert await sweep_authentications(served.parts.authentication) == 1
    payment = await served.settled(answer)
    assert payment.code == "1011"
    assert payment.finished_at is not None
    assert timedelta(minutes=15) <= payment.finished_at - payment.created_at < timedelta(minutes=16)


async def test_an_unopened_page_is_abandoned(served: ServedGateway) -> None:
    """A challenge whose page was never opened ends the same way."""
    answer = await served.pay("challenge")
    assert await sweep_authentications(served.parts.authentication) == 0
    await served.fetch("update authentication set due_at = now()")
    await sweep_authentications(served.parts.authentication)
    assert (await served.settled(answer)).code == "1011"


async def test_sweep_and_result_race(served: ServedGateway) -> None:
    """If a challenge expires as it is passed, one of the two counts and the payment ends once."""
    for _ in range(5):
        answer = await served.pay("challenge", browser=True)
        authentication = await served.authentication(answer)
        await asyncio.gather(
            abandon(served.parts.authentication, authentication),
            served.answer_bank(answer, "pass"),
            abandon(served.parts.authentication, authentication),
        )
        payment = await served.settled(answer)
        decided = (await served.authentication(answer)).state
        assert (payment.code, decided) in {("0", "passed"), ("1011", "abandoned")}
    settled = await served.fetch("select from transaction where status <> 'pending'")
    assert len(await served.fetch("select from event")) == len(settled) == 5


async def _pass_in_a_dead_process(served: ServedGateway) -> None:
    """Record a passing RReq without continuing the payment, as a dead process does."""
    proof = ("05", base64.b64encode(bytes(20)).decode())
    await served.fetch("update simulator.authentication set final_status = 'Y', eci = $1, cavv = $2", *proof)
    await served.fetch(
        "update authentication set state = 'passed', trans_status = 'Y', eci = $1, cavv = $2, result_at = now(),"
        " due_at = now()",
        *proof,
    )


async def test_a_decision_is_applied_once(served: ServedGateway) -> None:
    """If several processes apply a decision, one of them calls the issuer once."""
    answer = await served.pay("challenge", browser=True)
    authentication = await served.authentication(answer)
    await _pass_in_a_dead_process(served)
    async with served.parts.database.acquire() as connection:
        passed = await select_by_trans_id(connection, authentication.three_ds_server_trans_id)
    assert passed is not None
    await asyncio.gather(*(apply_decision(served.parts.authentication, passed) for _ in range(8)))
    assert (await served.settled(answer)).status == "success"
    [row] = await served.fetch("select deliveries from simulator.journal")
    assert row["deliveries"] == 1


async def test_the_sweep_continues_after_a_crash(served: ServedGateway) -> None:
    """An authentication that passed in a process that died is continued by the next sweep."""
    answer = await served.pay("challenge", browser=True)
    await _pass_in_a_dead_process(served)
    counts = await asyncio.gather(*(sweep_authentications(served.parts.authentication) for _ in range(3)))
    assert sorted(counts) == [0, 0, 1]
    assert (await served.settled(answer)).status == "success"
    assert (await served.authentication(answer)).due_at is None


async def test_an_expired_security_code_does_not_stop_the_payment(served: ServedGateway) -> None:
    """The payment continues without a security code that expired during the challenge."""
    answer = await served.pay("challenge", browser=True)
    await served.fetch("delete from security_code")
    await served.answer_bank(answer, "pass")
    assert (await served.settled(answer)).status == "success"


async def test_a_resumed_attempt_is_as_old_as_its_request(served: ServedGateway) -> None:
    """The resolver counts delays from the acquirer call, not from before the challenge."""
    answer = await served.pay("challenge", browser=True)
    await served.fetch("update open_attempt set sent_at = now() - interval '10 minutes'")
    await served.answer_bank(answer, "pass")
    await served.settled(answer)
    assert await served.fetch("select from attempt where sent_at < now() - interval '1 minute'") == []


async def test_refresh_back_and_a_second_tab(served: ServedGateway) -> None:
    """A page that is opened repeatedly shows the current step, and finally the redirect to the shop."""
    answer = await served.pay("challenge")
    url = answer.json["payment"]["url"]
    first, second = await asyncio.gather(served.get(url), served.get(url))
    assert first.status == second.status == 200
    await asyncio.gather(*(served.post(url, PAGE_FIELDS) for _ in range(3)))
    assert len(await served.fetch("select from simulator.authentication")) == 1
    forms = {(await served.get(url)).form()[1]["creq"] for _ in range(3)}
    assert len(forms) == 1
    returned = await served.come_back(url)
    await served.settled(answer)
    for address in (url, returned.headers["Location"]) * 2:
        assert way_back(await served.get(address))["is_approved"] == "1"
    await served.post(url, PAGE_FIELDS)
    assert way_back(await served.get(url))["is_approved"] == "1"
    assert len(await served.fetch("select from event")) == 1


async def test_a_page_opened_too_late_starts_again(served: ServedGateway) -> None:
    """After the ACS's time for the CReq the page authenticates the same transaction again."""
    answer = await served.pay("challenge", browser=True)
    old = await served.authentication(answer)
    await served.fetch("update authentication set answered_at = now() - interval '31 seconds'")
    page = await served.get(answer.json["payment"]["url"])
    assert 'id="browser"' in page.text
    new = await served.authentication(answer)
    assert (new.number, new.state, new.series_id) == (2, "collecting", old.series_id)
    assert new.three_ds_server_trans_id != old.three_ds_server_trans_id
    assert new.expires_at == old.expires_at
    ignored = await served.report(old, "Y")
    assert ignored.json["messageType"] == "RRes"
    assert (await served.payment(answer)).status == "pending"
    await served.come_back(await served.challenge(answer))
    assert (await served.settled(answer)).status == "success"


async def test_an_acs_time_out_ends_only_the_authentication(served: ServedGateway) -> None:
    """An RReq for a missing CReq (challengeCancel 05) does not end the payment."""
    answer = await served.pay("challenge", browser=True)
    await served.answer_bank(answer, "timeout")
    assert (await served.authentication(answer)).state == "lapsed"
    assert (await served.payment(answer)).status == "pending"
    await served.get(answer.json["payment"]["url"])
    await served.come_back(await served.challenge(answer))
    assert (await served.settled(answer)).status == "success"


async def test_a_late_browser_starts_again_before_the_rreq(served: ServedGateway) -> None:
    """A browser that the ACS sent back before its RReq with the time-out also starts again."""
    answer = await served.pay("challenge", browser=True)
    back = await _return_address(served, answer.json["payment"]["url"])
    await served.post(back, {})
    await served.fetch("update authentication set waiting_since = waiting_since - interval '11 seconds'")
    await served.report(await served.authentication(answer), "N", challengeCancel="05")
    again = await served.get(back)
    assert again.headers["Location"] == answer.json["payment"]["url"]
    assert 'id="browser"' in (await served.get(again.headers["Location"])).text


async def test_an_areq_lost_with_its_process_is_sent_again(served: ServedGateway) -> None:
    """A page whose AReq has no response starts again after the sender's time-out."""
    answer = await served.pay("challenge")
    url = answer.json["payment"]["url"]
    await served.fetch("update authentication set state = 'requested', requested_at = now()")
    assert "One moment" in (await served.get(url)).text
    await served.fetch("update authentication set requested_at = now() - interval '21 seconds'")
    assert 'id="browser"' in (await served.get(url)).text
    assert (await served.authentication(answer)).number == 2
