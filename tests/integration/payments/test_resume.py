"""Challenges: the RReq decides, whatever the browser does, and every race has one winner."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.cardholders import PAGE_FIELDS, REDIRECT_URL, Answer, World
from tests.support.clock import leap

from tollhouse.payments.authentication.resume import abandon, apply_decision, sweep_authentications
from tollhouse.payments.returns import sign_return
from tollhouse.stage.demo import MERCHANT_ID
from tollhouse.threeds.store import select_by_trans_id

ENDS = [("pass", "success", "0"), ("fail", "fail", "1010"), ("cancel", "fail", "1010"), ("timeout", "fail", "1011")]


def way_back(answer: Answer) -> dict[str, str]:
    """Return what the merchant reads in the address to which the browser is sent."""
    assert answer.status == 303, answer.text
    parts = urlsplit(answer.headers["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == REDIRECT_URL.partition("?")[0]
    assert parts.fragment == "top"
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    assert query.pop("order") == "7"
    return query


async def count_journal(world: World) -> int:
    """Count the authorizations that reached the issuer."""
    return len(await world.fetch("select from simulator.journal"))


async def test_a_passed_challenge_in_a_browser(world: World) -> None:
    """Page, bank, code, and back: the payment is approved with its proof, and the shop reads is_approved=1."""
    answer = await world.pay("challenge")
    page = await world.challenge(answer)
    returned = await world.come_back(page)
    left = way_back(await world.get(returned.headers["Location"]))
    payment = await world.settled(answer)
    [secret] = await world.parts.ipn_secrets(payment.merchant_id)
    told = {"order_id": str(payment.payment_id), "cb_transaction_id": str(payment.transaction_id)}
    told |= {"is_approved": "1", "cb_code": "0"}
    consumer = dict.fromkeys(("ustas", "consumer_id"), payment.consumer_id)
    assert left == told | consumer | {"sh": sign_return(secret, told)}
    assert (payment.status, payment.attempt.number, payment.attempt.card) == ("success", 1, None)
    [row] = await world.fetch("select cavv, spent_by from simulator.authentication")
    assert row["spent_by"] == payment.attempt.reference
    assert await world.fetch("select from security_code") == []
    assert len(await world.fetch("select from event")) == 1


async def test_wrong_codes_in_a_browser(world: World) -> None:
    """Three wrong codes end at the shop with is_approved=0 and code 1010; nothing was asked of the issuer."""
    answer = await world.pay("challenge")
    returned = await world.come_back(await world.challenge(answer), code="000000")
    assert way_back(await world.get(returned.headers["Location"]))["is_approved"] == "0"
    assert (await world.settled(answer)).code == "1010"
    assert await count_journal(world) == 0


@pytest.mark.parametrize("at_once", [True, False], ids=["asked at once", "asked by the page"])
@pytest.mark.parametrize(("result", "status", "code"), ENDS)
async def test_the_end_of_a_challenge(world: World, result: str, status: str, code: str, *, at_once: bool) -> None:
    """Every end of a challenge ends the payment although no browser comes back."""
    answer = await world.pay("challenge", browser=at_once)
    page = await world.challenge(answer)
    await world.get(page)
    acs_url, fields = (await world.get(page)).form()
    await world.post(acs_url, fields)
    await world.answer_bank(answer, result)
    payment = await world.settled(answer)
    assert (payment.status, payment.code) == (status, code)
    assert await world.fetch("select from security_code") == []
    await world.followed(answer)


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
async def test_the_page_asks_the_directory(world: World, card: str, status: str, code: str | None) -> None:
    """Our page collects the browser's data, sends the AReq, and ends at the shop where nobody is challenged."""
    answer = await world.pay(card)
    page = await world.challenge(answer)
    if card == "challenge_51":
        await world.come_back(page)
    payment = await world.settled(answer)
    assert payment.status == status
    assert code is None or payment.code == code
    left = way_back(await world.get(page))
    assert left["is_approved"] == ("1" if status == "success" else "0")


async def test_a_method_completes(world: World) -> None:
    """A 3DS Method that reports back is told in the AReq; a report with a wrong key is not believed."""
    answer = await world.pay("challenge_method")
    page = answer.json["payment"]["url"]
    shown = (await world.get(page)).text
    authentication = await world.authentication(answer)
    data = {"threeDSServerTransID": str(authentication.three_ds_server_trans_id)}
    packed = base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")
    assert (await world.post("/3ds/method/wrong", {"threeDSMethodData": packed})).status == 404
    assert (await world.authentication(answer)).method_completed_at is None
    bank = await world.post(*_method_form(shown))
    reported = await world.post(*bank.form())
    assert reported.status == 200
    assert (await world.authentication(answer)).method_completed_at is not None
    await world.come_back(await world.challenge(answer))
    assert (await world.settled(answer)).status == "success"


def _method_form(text: str) -> tuple[str, dict[str, str]]:
    return Answer(200, {}, text[text.index('id="method"') - 6 :]).form()


async def test_the_result_before_the_return(world: World) -> None:
    """When the RReq was first, the browser finds the outcome there and goes straight to the shop."""
    answer = await world.pay("challenge")
    page = await world.challenge(answer)
    await world.answer_bank(answer, "pass")
    await world.settled(answer)
    returned = await world.come_back(page) if '"creq"' in (await world.get(page)).text else None
    assert returned is None
    assert way_back(await world.get(page))["is_approved"] == "1"


async def test_the_return_before_the_result(world: World) -> None:
    """A browser that is back first waits, and goes on when the RReq has come."""
    answer = await world.pay("challenge")
    page = await world.challenge(answer)
    back = await _return_address(world, page)
    await world.post(back, {"cres": "e30"})
    waiting = await world.get(back)
    assert "One moment" in waiting.text
    poll = asyncio.create_task(world.get(f"{back}/wait"))
    await world.answer_bank(answer, "pass")
    assert (await poll).json == {"ready": True}
    assert way_back(await world.get(back))["is_approved"] == "1"


async def _return_address(world: World, page: str) -> str:
    """Return the address to which the bank would send the browser."""
    await world.get(page)
    [row] = await world.fetch("select notification_url from simulator.authentication")
    url: str = row["notification_url"]
    return url


async def test_nobody_waits_longer_than_ten_seconds(world: World) -> None:
    """Without a result the shop hears is_approved=0 after ten seconds; the RReq decides all the same."""
    answer = await world.pay("challenge")
    back = await _return_address(world, await world.challenge(answer))
    await world.post(back, {})
    await world.fetch("update authentication set waiting_since = waiting_since - interval '11 seconds'")
    left = way_back(await world.get(back))
    assert (left["is_approved"], "cb_code" in left) == ("0", False)
    await world.answer_bank(answer, "pass")
    assert (await world.settled(answer)).status == "success"
    assert way_back(await world.get(back))["is_approved"] == "1"


async def test_a_passed_challenge_with_an_open_outcome_is_not_told_as_approved(world: World) -> None:
    """When the acquirer takes longer than ten seconds nobody knows yet: is_approved is 0, and there is no code."""
    answer = await world.pay("challenge")
    page = await world.challenge(answer)
    await world.fetch(
        "update authentication set state = 'passed', result_at = now(), due_at = null,"
        " waiting_since = now() - interval '11 seconds'"
    )
    left = way_back(await world.get(page))
    assert (left["is_approved"], "cb_code" in left) == ("0", False)


async def test_a_repeated_result_changes_nothing(world: World) -> None:
    """The same RReq ten times at once: ten acknowledgements, one authorization, one event."""
    answer = await world.pay("challenge", browser=True)
    authentication = await world.authentication(answer)
    replies = await asyncio.gather(*(world.report(authentication, "N") for _ in range(10)))
    assert {reply.json["messageType"] for reply in replies} == {"RRes"}
    assert (await world.settled(answer)).code == "1010"
    assert len(await world.fetch("select from event")) == 1


async def test_a_contradicting_result_is_acknowledged_and_ignored(world: World) -> None:
    """The first result counts: a Y after an N opens nothing, a N after a Y takes nothing back."""
    answer = await world.pay("challenge", browser=True)
    authentication = await world.authentication(answer)
    await world.report(authentication, "N")
    late = await world.report(authentication, "Y")
    assert late.json["resultsStatus"] == "01"
    assert (await world.settled(answer)).code == "1010"
    assert await count_journal(world) == 0
    other = await world.pay("challenge", browser=True)
    await world.answer_bank(other, "pass")
    await world.report(await world.authentication(other), "N")
    assert (await world.settled(other)).status == "success"


async def test_a_forged_return_proves_nothing(world: World) -> None:
    """A CRes that says Y, made up by whoever has the address, authorizes nothing and does not end the challenge."""
    answer = await world.pay("challenge")
    page = await world.challenge(answer)
    back = await _return_address(world, page)
    authentication = await world.authentication(answer)
    forged = {
        "messageType": "CRes",
        "messageVersion": "2.2.0",
        "threeDSServerTransID": str(authentication.three_ds_server_trans_id),
        "acsTransID": str(authentication.acs_trans_id),
        "challengeCompletionInd": "Y",
        "transStatus": "Y",
    }
    packed = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    assert (await world.post(back, {"cres": packed})).status == 303
    await world.fetch("update authentication set waiting_since = waiting_since - interval '11 seconds'")
    assert way_back(await world.get(back))["is_approved"] == "0"
    assert (await world.payment(answer)).status == "pending"
    assert await count_journal(world) == 0


async def test_a_forged_result_needs_the_directorys_id(world: World) -> None:
    """What passes through the browser is not enough to forge an RReq: the Directory's id does not."""
    answer = await world.pay("challenge", browser=True)
    authentication = await world.authentication(answer)
    reply = await world.report(authentication, "Y", dsTransID=str(authentication.acs_trans_id))
    assert (reply.json["messageType"], reply.json["errorCode"]) == ("Erro", "301")
    assert (await world.authentication(answer)).state == "challenged"


async def test_a_made_up_proof_is_declined_by_the_issuer(world: World) -> None:
    """An RReq whose CAVV the issuer never gave ends as a decline of the authorization."""
    answer = await world.pay("challenge", browser=True)
    await world.report(await world.authentication(answer), "Y")
    assert (await world.settled(answer)).code == "5082"


async def test_an_abandoned_challenge_ends_and_stays_ended(world: World) -> None:
    """After its time the sweep ends the payment with 1011; a passing RReq after that is answered and ignored."""
    answer = await world.pay("challenge", browser=True)
    await world.fetch("update authentication set expires_at = now(), due_at = now()")
    assert await sweep_authentications(world.parts.authentication) == 1
    payment = await world.settled(answer)
    assert (payment.status, payment.code) == ("fail", "1011")
    assert len(await world.fetch("select from event")) == 1
    late = await world.report(await world.authentication(answer), "Y")
    assert late.json["messageType"] == "RRes"
    await asyncio.sleep(0.1)
    assert (await world.payment(answer)).code == "1011"
    assert await count_journal(world) == 0
    ended = await world.get(answer.json["payment"]["url"])
    assert ended.status == 200
    assert "Not confirmed in time" in ended.text
    assert "is_approved=0&amp;cb_code=1011&amp;cb_transaction_id=" in ended.text
    assert await sweep_authentications(world.parts.authentication) == 0


async def test_a_challenge_runs_out_by_the_merchants_clock(world: World) -> None:
    """A quarter of an hour by the merchant's clock ends a challenge, in the merchant's time; a minute less does not."""
    answer = await world.pay("challenge", browser=True)
    clock = world.parts.clock
    await leap(world.parts.database, MERCHANT_ID, clock, minutes=14)
    assert await sweep_authentications(world.parts.authentication) == 0
    await leap(world.parts.database, MERCHANT_ID, clock, minutes=1)
    assert await sweep_authentications(world.parts.authentication) == 1
    payment = await world.settled(answer)
    assert payment.code == "1011"
    assert payment.settled_at is not None
    assert timedelta(minutes=15) <= payment.settled_at - payment.created_at < timedelta(minutes=16)


async def test_a_page_that_nobody_opened_is_abandoned(world: World) -> None:
    """A cardholder who never came ends the same way."""
    answer = await world.pay("challenge")
    assert await sweep_authentications(world.parts.authentication) == 0
    await world.fetch("update authentication set due_at = now()")
    await sweep_authentications(world.parts.authentication)
    assert (await world.settled(answer)).code == "1011"


async def test_sweep_and_result_race(world: World) -> None:
    """When the challenge runs out in the moment it is passed, one of the two counts and the payment ends once."""
    for _ in range(5):
        answer = await world.pay("challenge", browser=True)
        authentication = await world.authentication(answer)
        await asyncio.gather(
            abandon(world.parts.authentication, authentication),
            world.answer_bank(answer, "pass"),
            abandon(world.parts.authentication, authentication),
        )
        payment = await world.settled(answer)
        decided = (await world.authentication(answer)).state
        assert (payment.code, decided) in {("0", "passed"), ("1011", "abandoned")}
    settled = await world.fetch("select from transaction where status <> 'pending'")
    assert len(await world.fetch("select from event")) == len(settled) == 5


async def _pass_in_a_dead_process(world: World) -> None:
    """Leave things as a process leaves them that took a passing RReq and died: decided, due, and not followed."""
    proof = ("05", base64.b64encode(bytes(20)).decode())
    await world.fetch("update simulator.authentication set final_status = 'Y', eci = $1, cavv = $2", *proof)
    await world.fetch(
        "update authentication set state = 'passed', trans_status = 'Y', eci = $1, cavv = $2, result_at = now(),"
        " due_at = now()",
        *proof,
    )


async def test_one_resumption_however_many_hear_of_it(world: World) -> None:
    """A decision that several processes follow at once claims the attempt once and asks the issuer once."""
    answer = await world.pay("challenge", browser=True)
    authentication = await world.authentication(answer)
    await _pass_in_a_dead_process(world)
    async with world.parts.database.acquire() as connection:
        passed = await select_by_trans_id(connection, authentication.three_ds_server_trans_id)
    assert passed is not None
    await asyncio.gather(*(apply_decision(world.parts.authentication, passed) for _ in range(8)))
    assert (await world.settled(answer)).status == "success"
    [row] = await world.fetch("select deliveries from simulator.journal")
    assert row["deliveries"] == 1


async def test_the_sweep_follows_what_a_dead_process_decided(world: World) -> None:
    """An authentication that passed, in a process that died before the claim, is resumed by the next sweep."""
    answer = await world.pay("challenge", browser=True)
    await _pass_in_a_dead_process(world)
    counts = await asyncio.gather(*(sweep_authentications(world.parts.authentication) for _ in range(3)))
    assert sorted(counts) == [0, 0, 1]
    assert (await world.settled(answer)).status == "success"
    assert (await world.authentication(answer)).due_at is None


async def test_it_goes_without_a_code_that_is_gone(world: World) -> None:
    """A security code that ran out during the challenge does not stop the payment."""
    answer = await world.pay("challenge", browser=True)
    await world.fetch("delete from security_code")
    await world.answer_bank(answer, "pass")
    assert (await world.settled(answer)).status == "success"


async def test_a_resumed_attempt_is_as_old_as_its_request(world: World) -> None:
    """The resolver counts an acquirer's delays from when it was asked, not from before the challenge."""
    answer = await world.pay("challenge", browser=True)
    await world.fetch("update open_attempt set sent_at = now() - interval '10 minutes'")
    await world.answer_bank(answer, "pass")
    await world.settled(answer)
    assert await world.fetch("select from attempt where sent_at < now() - interval '1 minute'") == []


async def test_refresh_back_and_a_second_tab(world: World) -> None:
    """However often the page is opened, it shows where things stand, and in the end the way to the shop."""
    answer = await world.pay("challenge")
    url = answer.json["payment"]["url"]
    first, second = await asyncio.gather(world.get(url), world.get(url))
    assert first.status == second.status == 200
    await asyncio.gather(*(world.post(url, PAGE_FIELDS) for _ in range(3)))
    assert len(await world.fetch("select from simulator.authentication")) == 1
    forms = {(await world.get(url)).form()[1]["creq"] for _ in range(3)}
    assert len(forms) == 1
    returned = await world.come_back(url)
    await world.settled(answer)
    for address in (url, returned.headers["Location"]) * 2:
        assert way_back(await world.get(address))["is_approved"] == "1"
    await world.post(url, PAGE_FIELDS)
    assert way_back(await world.get(url))["is_approved"] == "1"
    assert len(await world.fetch("select from event")) == 1


async def test_a_page_opened_too_late_begins_anew(world: World) -> None:
    """When the ACS has surely given up waiting for the CReq, the page authenticates the same transaction again."""
    answer = await world.pay("challenge", browser=True)
    old = await world.authentication(answer)
    await world.fetch("update authentication set answered_at = now() - interval '31 seconds'")
    page = await world.get(answer.json["payment"]["url"])
    assert 'id="browser"' in page.text
    new = await world.authentication(answer)
    assert (new.number, new.state, new.series_id) == (2, "collecting", old.series_id)
    assert new.three_ds_server_trans_id != old.three_ds_server_trans_id
    assert new.expires_at == old.expires_at
    ignored = await world.report(old, "Y")
    assert ignored.json["messageType"] == "RRes"
    assert (await world.payment(answer)).status == "pending"
    await world.come_back(await world.challenge(answer))
    assert (await world.settled(answer)).status == "success"


async def test_an_acs_that_gave_up_is_asked_again(world: World) -> None:
    """An RReq that no CReq ever came (challengeCancel 05) ends the authentication and not the payment."""
    answer = await world.pay("challenge", browser=True)
    await world.answer_bank(answer, "timeout")
    assert (await world.authentication(answer)).state == "lapsed"
    assert (await world.payment(answer)).status == "pending"
    await world.get(answer.json["payment"]["url"])
    await world.come_back(await world.challenge(answer))
    assert (await world.settled(answer)).status == "success"


async def test_an_acs_that_sends_back_before_it_tells_that_it_gave_up(world: World) -> None:
    """A browser that came too late, and was sent back before the RReq said so, begins anew as well."""
    answer = await world.pay("challenge", browser=True)
    back = await _return_address(world, answer.json["payment"]["url"])
    await world.post(back, {})
    await world.fetch("update authentication set waiting_since = waiting_since - interval '11 seconds'")
    await world.report(await world.authentication(answer), "N", challengeCancel="05")
    again = await world.get(back)
    assert again.headers["Location"] == answer.json["payment"]["url"]
    assert 'id="browser"' in (await world.get(again.headers["Location"])).text


async def test_an_areq_lost_with_its_process_is_sent_again(world: World) -> None:
    """A page whose AReq never got an answer begins anew when its sender must be dead."""
    answer = await world.pay("challenge")
    url = answer.json["payment"]["url"]
    await world.fetch("update authentication set state = 'requested', requested_at = now()")
    assert "One moment" in (await world.get(url)).text
    await world.fetch("update authentication set requested_at = now() - interval '21 seconds'")
    assert 'id="browser"' in (await world.get(url)).text
    assert (await world.authentication(answer)).number == 2
