"""Methods that no handler names: `OPTIONS`, told right, and `HEAD`, a `GET` without its body (RFC 9110, 9.3.2).

The framework answers `OPTIONS` with the methods of the first handler that was registered for the path, and knows no
`HEAD`.
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
        self._allowed = {route.path_format: route.methods for route in routes if isinstance(route, HTTPRoute)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        method = scope.get("method")
        if method == "HEAD":
            scope["method"] = "GET"

        async def send_right(message: Message) -> None:
            # The server below looks at the method too: it expects no body after this.
            scope["method"] = method
            if message["type"] == "http.response.start":
                message["headers"] = [self._correct(scope, name, value) for name, value in message["headers"]]
            elif method == "HEAD":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, send_right if scope["type"] == "http" else send)

    def _correct(self, scope: Scope, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """Let a header that tells the methods of a path tell all of them."""
        if name.lower() != b"allow":
            return name, value
        methods = set(self._allowed.get(str(scope.get("path_template")), value.decode().split(", ")))
        return name, ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()))).encode()
