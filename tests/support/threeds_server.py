"""A 3DS Server on a loopback port: takes RReqs as it is told to, and the browser's return."""

from __future__ import annotations

import base64
import json
from typing import Any, Self

from aiohttp import web


class ThreedsServer:
    """Keeps every RReq and every return; `refusals` is how many RReqs it refuses before it takes one."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.returns: list[dict[str, Any]] = []
        self.sessions: list[str | None] = []
        self.rejections = 0
        self.lies = False
        self.url = ""
        self._start = ""
        application = web.Application()
        application.router.add_get("/start", self._show_start)
        application.router.add_post("/results", self._take_result)
        application.router.add_post("/return", self._take_return)
        self._runner = web.AppRunner(application)

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def addresses(self) -> dict[str, str]:
        """What an AReq says about this server."""
        return {"threeDSServerURL": f"{self.url}/results", "notificationURL": f"{self.url}/return"}

    def start_page(self, action: str, creq: str) -> str:
        """Return the address of a page that posts a CReq when its button is pressed."""
        self._start = f'<form method=post action="{action}"><input name=creq value="{creq}"><button>Go</button></form>'
        return f"{self.url}/start"

    async def _show_start(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._start, content_type="text/html")

    async def _take_result(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.results.append(message)
        self.authorizations.append(request.headers.get("Authorization"))
        if self.rejections:
            self.rejections -= 1
            return web.Response(status=503)
        ids = {name: message[name] for name in ("threeDSServerTransID", "acsTransID", "dsTransID", "messageVersion")}
        if self.lies:
            self.lies = False
            ids["acsTransID"] = ids["dsTransID"]
        return web.json_response({"messageType": "RRes", "resultsStatus": "01"} | ids)

    async def _take_return(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.returns.append(decode(str(form["cres"])))
        session = form.get("threeDSSessionData")
        self.sessions.append(None if session is None else str(session))
        return web.Response(text="<title>back</title>back", content_type="text/html")


def decode(text: str) -> dict[str, Any]:
    """Read base64url JSON without padding."""
    message: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return message
