"""The bank's pages in a real browser, with its rules for policies, forms and cross-site posts."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright
from tests.support.issuing import areq, creq_of, encode, pack
from tests.support.threeds_server import ThreedsServer

from tollhouse.simulator.host import Simulator

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture
async def checkout(simulator: Simulator, threeds_server: ThreedsServer, edge: str) -> str:
    """The address of a page of the 3DS Server that sends a browser to the bank, on another site."""
    answer = await simulator.handle("/directory", encode(areq("challenge", **threeds_server.addresses)))
    assert isinstance(answer, bytes)
    action = edge.replace("127.0.0.1", "localhost") + "/simulator/acs/challenge"
    return threeds_server.start_page(action, pack(creq_of(json.loads(answer))))


@asynccontextmanager
async def browse(**options: Any) -> AsyncIterator[BrowserContext]:
    """Open a browser context."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield await browser.new_context(**options)
        await browser.close()


async def arrive(context: BrowserContext, checkout: str) -> Page:
    """Come to the bank's page."""
    page = await context.new_page()
    await page.goto(checkout)
    await page.get_by_role("button", name="Go").click()
    await page.get_by_role("heading", name="Confirm your payment").wait_for()
    return page


@pytest.mark.slow
async def test_mistyped_code_can_be_corrected(threeds_server: ThreedsServer, checkout: str) -> None:
    """A cardholder mistypes the code, sees an error, types the right one and returns; a second tab ends there too."""
    async with browse() as context:
        page, second = await arrive(context, checkout), await arrive(context, checkout)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        assert await page.get_by_label("One-time code").evaluate("field => field === document.activeElement")
        await page.keyboard.type("111111")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").wait_for()
        await page.get_by_label("One-time code").fill("123456")
        await page.get_by_role("button", name="Submit").click()
        await page.wait_for_url(threeds_server.addresses["notificationURL"])
        await second.get_by_role("button", name="Cancel payment").click()
        await second.wait_for_url(threeds_server.addresses["notificationURL"])

    assert [result["transStatus"] for result in threeds_server.results] == ["Y"]
    assert [cres["transStatus"] for cres in threeds_server.returns] == ["Y", "Y"]
    assert not [text for text in complaints if "Content Security Policy" in text]


@pytest.mark.slow
async def test_without_script(threeds_server: ThreedsServer, checkout: str) -> None:
    """Without script and in the narrowest window (01, 250 x 400) Cancel and Continue lead back, nothing cut off."""
    async with browse(java_script_enabled=False, viewport={"width": 250, "height": 400}) as context:
        page = await arrive(context, checkout)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 250
        await page.get_by_role("button", name="Cancel payment").click()
        await page.get_by_role("button", name="Continue").click()
        await page.wait_for_url(threeds_server.addresses["notificationURL"])

    assert threeds_server.results[0]["challengeCancel"] == "01"
    assert threeds_server.returns[0]["transStatus"] == "N"
