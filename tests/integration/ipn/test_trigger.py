"""`tollhouse trigger`: samples of every kind, built and signed as real callbacks."""

from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console
from tests.support.callbacks import SECRET, open_endpoint

from tollhouse.billing.model import LifecycleEventKind
from tollhouse.cli.listen import listen, render_body, verify_callback
from tollhouse.cli.trigger import SampleNotSent, can_be_sent, trigger
from tollhouse.ipn.delivery.attempt import build_headers, write_body
from tollhouse.ipn.form import Form
from tollhouse.ipn.message.samples import KINDS, build_sample
from tollhouse.payments.reading.public_names import DISPUTE_WON, PublicMode
from tollhouse.wire.answers import CardEvent, PaymentEvent, SubscriptionEvent

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SENDABLE = [
    (kind, form, failed)
    for kind in KINDS
    for form in get_args(Form)
    for failed in (False, True)
    if can_be_sent(kind, form=form, failed=failed)
]


def test_there_is_a_sample_of_every_kind() -> None:
    """Every kind of callback can be triggered."""
    transactions = {*get_args(PublicMode), DISPUTE_WON}
    assert transactions | set(get_args(LifecycleEventKind)) == set(KINDS)


@pytest.mark.parametrize(("kind", "form", "failed"), SENDABLE)
def test_samples_are_signed_as_real_callbacks(kind: str, form: Form, failed: bool) -> None:  # noqa: FBT001 - a parameter
    """The documented check accepts every sample, and its body has the form of a real one."""
    sample = build_sample(kind, at=AT, url="http://127.0.0.1:9/", form=form, failed=failed)
    headers, body = build_headers(sample, [SECRET], timestamp=int(time.time())), write_body(sample, SECRET)
    verify_callback(headers, body, secret=SECRET, now=time.time())
    if form == "json":
        models = {"subscription.card_expiring": CardEvent}
        model = models.get(kind, SubscriptionEvent if kind.startswith("subscription.") else PaymentEvent)
        model.model_validate(json.loads(body))


async def test_a_sample_reaches_a_listener_that_shows_it(tmp_path: Path) -> None:
    """A triggered sample is verified, acknowledged and printed with its body on request."""
    stop, screen, addresses = asyncio.Event(), io.StringIO(), asyncio.Queue[str]()
    console = Console(file=screen, width=200)
    listening = asyncio.create_task(
        listen(
            port=0,
            secret=SECRET,
            data_directory=tmp_path,
            console=console,
            stop=stop,
            ready=addresses.put_nowait,
            shows_bodies=True,
        )
    )
    url = await addresses.get()
    sent = await trigger(KINDS, url=url, secret=SECRET)
    [form] = await trigger(["void"], url=url, secret=SECRET, form="legacy")
    stop.set()
    await listening
    assert [each.kind for each in sent] == list(KINDS)
    assert all(each.is_acknowledged for each in (*sent, form))
    shown = screen.getvalue()
    assert shown.count("✓ signature verified") == len(KINDS) + 1
    assert '"transactionId": "' in shown
    assert "ipn: <?xml" in shown


def test_what_is_shown_does_not_steer_the_terminal() -> None:
    """Control characters of a body are not printed."""
    for body in (b'{"a": "\\u001b[2J"}', b"\x1b[2Jplain", b"[" * 100_000):
        assert "\x1b" not in render_body(body)


async def test_a_refusal_is_told() -> None:
    """A refusing listener is shown with its status, and counts as not acknowledged."""
    async with open_endpoint(500) as endpoint:
        [sent] = await trigger(["sale"], url=endpoint.url, secret=SECRET)
    assert (sent.status, sent.is_acknowledged) == (500, False)


@pytest.mark.parametrize("url", ["notaurl", "ftp://127.0.0.1/", "http://"])
async def test_a_url_that_is_none_is_a_sentence(url: str) -> None:
    """For a malformed URL the message says so."""
    with pytest.raises(SampleNotSent, match="--to must be a URL"):
        await trigger(["sale"], url=url, secret=SECRET)


async def test_a_listener_that_is_not_there_is_a_sentence() -> None:
    """If the port is closed, the message asks whether the listener runs."""
    async with open_endpoint() as endpoint:
        pass
    arguments: dict[str, Any] = {"url": endpoint.url, "secret": SECRET}
    with pytest.raises(SampleNotSent, match="Start your listener"):
        await trigger(["sale"], **arguments)
