"""`OPTIONS`, told right: all the methods that a path has.

The framework answers with those of the first handler that was registered for the path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.routes import HTTPRoute

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar.routes import BaseRoute

    from tollhouse.api.asgi import Application, Message, Receive, Scope, Send


class AllMethods:
    """Wraps the framework's application, whose routes it is given."""

    def __init__(self, app: Application, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._allowed = {
            route.path_format: ", ".join(sorted(route.methods)).encode()
            for route in routes
            if isinstance(route, HTTPRoute)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope.get("method") != "OPTIONS":
            await self._app(scope, receive, send)
            return

        async def send_all(message: Message) -> None:
            allowed = self._allowed.get(str(scope.get("path_template")))
            if message["type"] == "http.response.start" and allowed is not None:
                kept = [(name, value) for name, value in message["headers"] if name.lower() != b"allow"]
                message["headers"] = [*kept, (b"allow", allowed)]
            await send(message)

        await self._app(scope, receive, send_all)
