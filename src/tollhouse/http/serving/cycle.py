"""A request and its response on a connection: most responses are whole, and are written at once."""

from __future__ import annotations

from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

#: No header may have one; a head has two at the end of each of its lines.
CONTROLS = bytes([*range(9), *range(10, 32), 127])


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, which writes a response once, and not first its head and then its body."""

    _start: Any = None

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response: its head waits for the first part of its body."""
        if message["type"] == "http.response.start" and self._start is None:
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None and not self.response_started:
            if self._write_whole(start, message):
                return
            await super().send(start)
        await super().send(message)

    def _write_whole(self, start: Any, message: Any) -> bool:
        """Write a response that has its length and ends with this part. Return False for any other."""
        body, headers = message.get("body", b""), start["headers"]
        length = (b"content-length", b"%d" % len(body))
        if message.get("more_body") or length not in headers or self.scope["method"] == "HEAD":
            return False
        if self.disconnected or self.flow.write_paused or not self.keep_alive or self.access_log:
            return False
        lines = [name + b": " + value for name, value in (*self.default_headers, *headers)]
        head = b"%s%s\r\n\r\n" % (STATUS_LINE[start["status"]], b"\r\n".join(lines))
        if len(head) - len(head.translate(None, CONTROLS)) != 2 * len(lines) + 4:
            return False
        self.transport.write(head + body)
        self.waiting_for_100_continue = False
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.on_response()
        return True
