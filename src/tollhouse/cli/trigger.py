"""`tollhouse trigger`: send sample callbacks, correctly signed, to a listener. No gateway needs to run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from tollhouse.ipn.delivery.attempt import ACKNOWLEDGED, build_headers, write_body
from tollhouse.ipn.form import Form
from tollhouse.ipn.message.samples import DISPUTE_KINDS, SUBSCRIPTION_KINDS, build_sample
from tollhouse.kernel.errors import TollhouseError
from tollhouse.payments.reading.public_names import DISPUTE_WON

TIMEOUT_SECONDS = 15.0


class SampleNotSent(TollhouseError):
    """The sample event could not be sent."""


@dataclass(frozen=True, slots=True)
class SentSample:
    """A sample event that was sent, with the status of the response."""

    kind: str
    status: int
    milliseconds: int

    @property
    def is_acknowledged(self) -> bool:
        """Whether the gateway would count it as delivered."""
        return self.status in ACKNOWLEDGED


async def trigger(
    kinds: Sequence[str], *, url: str, secret: str, form: Form = "json", failed: bool = False
) -> list[SentSample]:
    """Send a sample event of each kind. Raises SampleNotSent if there is no response or the URL is invalid."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        return [await _send(session, kind, url=url, secret=secret, form=form, failed=failed) for kind in kinds]


async def _send(
    session: aiohttp.ClientSession, kind: str, *, url: str, secret: str, form: Form, failed: bool
) -> SentSample:
    try:
        delivery = build_sample(kind, at=datetime.now(UTC), url=url, form=form, failed=failed)
    except ValueError as error:
        raise SampleNotSent(str(error)) from None
    headers = build_headers(delivery, [secret], timestamp=int(time.time()))
    begun = time.monotonic()
    try:
        async with session.post(
            url, data=write_body(delivery, secret), headers=headers, allow_redirects=False
        ) as response:
            return SentSample(kind, response.status, round((time.monotonic() - begun) * 1000))
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise SampleNotSent("--to must be a URL such as http://127.0.0.1:3000/ipn.") from None
    except TimeoutError:
        raise SampleNotSent(f"{url} did not respond within {TIMEOUT_SECONDS:.0f} seconds.") from None
    except (aiohttp.ClientError, OSError):
        raise SampleNotSent(f"{url} was not reached. Start your listener, then try again.") from None


def can_be_sent(kind: str, *, form: Form, failed: bool) -> bool:
    """Return whether a sample of this kind and form exists."""
    if kind in SUBSCRIPTION_KINDS:
        return form == "json" and not failed
    if kind in DISPUTE_KINDS:
        return not failed and not (form == "legacy" and kind == DISPUTE_WON)
    return True
