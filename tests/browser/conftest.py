"""A real browser, a real gateway process, and a shop between them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.support.gateways import Gateways, RunningGateway
from tests.support.listener import Listener
from tests.support.merchant_site import MerchantSite

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The browser's own background traffic would only meet closed doors.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium from the distribution, for one module without async tests: this thread's event loop runs while it does.

    Each test has a profile of its own (`page`, or a context that it makes), which shares nothing with the others.
    """
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    assert executable, "these tests need Chromium from the distribution's packages; .ci/run installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile, which fails its test on an error in a script or a broken content security policy."""
    page = browser.new_context().new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    yield page
    page.context.close()
    assert complaints == []


@pytest.fixture
def gateway(gateways: Gateways) -> RunningGateway:
    """A gateway as `make run` starts it."""
    return gateways.share("browser")


@pytest.fixture
def impatient_gateway(gateways: Gateways) -> RunningGateway:
    """A gateway that waits two seconds for a cardholder, where others wait a quarter of an hour."""
    return gateways.share("impatient", TOLLHOUSE_CHALLENGE_SECONDS="2")


@pytest.fixture
def listener(gateway: RunningGateway) -> Iterator[Listener]:
    """The shop's IPN listener."""
    listener = Listener(secret=gateway.demo["ipnSecret"])
    yield listener
    listener.close()


@pytest.fixture
def shop(gateway: RunningGateway, listener: Listener) -> Iterator[MerchantSite]:
    """The shop, on another port than the gateway."""
    shop = MerchantSite(gateway, ipn_url=listener.url)
    yield shop
    shop.close()
