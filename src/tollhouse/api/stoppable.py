"""What a request is answered that a stopping process cuts off.

The server cancels what is still open when its patience is over. Money work goes on without its request, so the answer
is that of every other moment at which nothing can be said: 503, and the repeat gets what became of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tollhouse.api.problems import answer_refusal
from tollhouse.api.straight import Call, send_problem
from tollhouse.kernel.errors import Stopping

if TYPE_CHECKING:
    from tollhouse.api.asgi import Application, Message, Receive, Scope, Send


class Stoppable:
    """Wraps an application: answers 503 for a request that is cancelled before its answer has begun."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        has_begun = scope["type"] != "http"

        async def send_on(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except asyncio.CancelledError:
            if has_begun:
                raise
            call: Any = Call(scope, receive)
            await send_problem(send, answer_refusal(call, Stopping()))
