"""Requests under way in a process: found by equal ones, ended together, left alone by clients that go."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tollhouse.idempotency.model import Claim
from tollhouse.idempotency.running import Running, RunningRequest
from tollhouse.kernel.errors import RequestIdReused
from tollhouse.kernel.rendered_response import RenderedResponse

CLAIM = Claim(1, "payment", "r1", b"d" * 32)
PAYMENT = cast("Any", object())
DONE = RenderedResponse(201, b"{}")


async def wait_for(work: RunningRequest, event: asyncio.Event) -> RenderedResponse:
    """Begin at once, and end with the event."""
    work.note_begun(PAYMENT)
    await event.wait()
    return DONE


async def test_an_equal_request_finds_the_work_until_it_ends() -> None:
    """While a request is under way an equal one finds it and gets its reply; afterwards its id is free again."""
    running, event = Running(), asyncio.Event()
    work = running.begin(CLAIM, wait_for, event)
    assert running.find(CLAIM) is work
    assert running.find(None) is None
    event.set()
    assert await work.wait(5) == DONE
    await asyncio.sleep(0)
    assert running.find(CLAIM) is None


async def test_another_body_is_refused_while_the_request_is_under_way() -> None:
    """The same X-Request-ID with another body is refused at once, and at another merchant it is another request."""
    running, event = Running(), asyncio.Event()
    work = running.begin(CLAIM, wait_for, event)
    with pytest.raises(RequestIdReused):
        running.find(Claim(1, "payment", "r1", b"e" * 32))
    assert running.find(Claim(2, "payment", "r1", b"e" * 32)) is None
    event.set()
    await work.wait(5)


async def test_clients_stop_waiting_at_the_same_moment() -> None:
    """After the first client was told `pending` nobody gets another reply from the work: the recorded one counts."""
    running, event = Running(), asyncio.Event()
    work = running.begin(CLAIM, wait_for, event)
    assert await work.wait(0.05) is None
    event.set()
    await work.task
    assert await work.wait(0.05) is None


async def test_work_that_does_not_begin_is_waited_for() -> None:
    """Until a payment is committed nothing could be pending: the client waits to the end, however short its time is."""

    async def answer_late(_: RunningRequest) -> RenderedResponse:
        await asyncio.sleep(0.1)
        return DONE

    assert await Running().begin(None, answer_late).wait(0.02) == DONE


async def test_a_client_that_goes_away_cancels_nothing() -> None:
    """The work goes on when its client is cancelled, and the process waits for it at its end."""
    running, event = Running(), asyncio.Event()
    work = running.begin(None, wait_for, event)
    client = asyncio.create_task(work.wait(5))
    await asyncio.sleep(0)
    client.cancel()
    await asyncio.gather(client, return_exceptions=True)
    assert await running.drain(seconds=0.01) == 1
    event.set()
    assert await running.drain(seconds=5) == 0
    assert work.task.result() == DONE
