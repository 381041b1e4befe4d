"""Limits of the server, which do not depend on a proxy.

uvicorn leaves header and body without a time limit and without a limit of size, and reads the trailers of a chunked
body as headers. This protocol bounds every phase of a connection:

    waiting   no byte of a request yet: the first request has `header_seconds`, later ones `idle_seconds`
    head      request line and headers: `header_seconds`, `max_header_bytes`, `max_header_lines`
    body      from the last header to the last byte: `body_seconds`
    answering no limit here; the application has its own
    writing   a client that does not receive its response: `write_seconds`

A sweep every second ends late connections, so that requests need no timers.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httptools
import structlog
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from tollhouse.http.rejections import REJECTIONS, build_rejection
from tollhouse.http.serving.connections import Connections
from tollhouse.http.serving.cycle import Cycle
from tollhouse.kernel.addresses import Network

SWEEP_INTERVAL_SECONDS = 1.0
#: Interval at which the number of rejected connections is logged.
LOG_INTERVAL_SECONDS = 10.0
#: Maximum size of an unread body that is discarded after its response.
MAX_DISCARDED_BYTES = 4 * 1024 * 1024
NEVER = math.inf
#: The characters that a host with a port may have (RFC 3986, 3.2.2 and 3.2.3).
HOST_FORM = re.compile(rb"[0-9A-Za-z!$&'()*+,;=\-._~:\[\]@%]*")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of a port and of each of its connections."""

    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 60.0
    write_seconds: float = 30.0
    #: Time to receive an early rejection before the connection ends.
    linger_seconds: float = 2.0
    max_header_bytes: int = 64 * 1024
    max_header_lines: int = 100
    max_target_bytes: int = 16 * 1024
    #: Requests that may follow on one connection before the first is answered.
    max_pipelined_requests: int = 16
    #: 0 is no limit.
    max_connections_per_address: int = 256
    max_connections: int = 16_384
    #: Networks of proxies, which the limit for an address does not bind.
    exempt: Sequence[Network] = ()


class Port:
    """The connections of one port, and the sweep that ends the late ones."""

    def __init__(self, bounds: ServerLimits) -> None:
        self.bounds = bounds
        self.connections = Connections(
            max_total=bounds.max_connections, max_per_address=bounds.max_connections_per_address, exempt=bounds.exempt
        )
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._refused: dict[str, int] = {}
        self._logged_at = -math.inf

    def start_sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep once a second while there are connections."""
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(SWEEP_INTERVAL_SECONDS, self._sweep, loop)

    def count_refused(self, reason: str) -> None:
        """Count a connection that was ended early, for the next log line."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep_timer = None
        now = loop.time()
        for connection in self.connections.list():
            if isinstance(connection, BoundedProtocol):
                connection.end_if_late(now)
        if self._refused and now - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = now
            log.warning("connections.refused", **self._refused)
            self._refused.clear()
        if self._refused or len(self.connections):
            self.start_sweep(loop)


class Refused(Exception):
    """A request exceeds a limit or violates RFC 9112. Raised inside the parser's callbacks."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits. Subclasses made by `build_protocol` set `port`."""

    port: Port

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = self.port.bounds
        self._deadline = self._idle_deadline = self._write_deadline = self._linger_deadline = NEVER
        self._has_begun = self._is_in_head = self._is_in_body = self._is_ending = False
        self._head_bytes = self._head_lines = self._held_bytes = self._discarded_bytes = 0
        self._reason: str | None = None

    # ------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Admit the connection, or end it at once."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + self._bounds.header_seconds
        if self.port.connections.admit(self, self.client[0] if self.client else ""):
            self.port.start_sweep(self.loop)
        else:
            self.port.count_refused("too_many_connections")
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self.port.connections.discard(self)
        super().connection_lost(exc)
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        self.pipeline.clear()

    @property
    def is_waiting(self) -> bool:
        """Whether no complete request is in progress."""
        return not self.pipeline and (self._is_between() or self._is_in_body)

    def evict(self) -> None:
        """End the connection to admit another."""
        self.port.count_refused("evicted")
        self.port.connections.discard(self)
        self.transport.abort()

    def end_if_late(self, now: float) -> None:
        """End the connection if its present phase has taken too long."""
        if now >= self._write_deadline:
            self._abort("response_not_taken")
        elif now >= self._linger_deadline:
            self.transport.abort()
        elif self.transport.is_closing():
            self._linger_deadline = min(self._linger_deadline, now + self._bounds.write_seconds)
        elif now >= self._idle_deadline:
            self.transport.close()
        elif self._is_ending or now < self._deadline:
            return
        elif not self._has_begun:
            self._abort("silent")
        else:
            self._reject("body_late" if self._is_in_body else "headers_late")

    def pause_writing(self) -> None:
        """Start the time-out for the client to receive the response."""
        super().pause_writing()
        self._write_deadline = self.loop.time() + self._bounds.write_seconds

    def resume_writing(self) -> None:
        """Resume: the client receives its response."""
        super().resume_writing()
        self._write_deadline = NEVER

    # ------------------------------------------------ what comes in

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and limit the data that it holds without reporting it."""
        if self._is_ending:
            return
        self._idle_deadline = NEVER
        self._has_begun = True
        if self._deadline == NEVER:
            self._deadline = self.loop.time() + self._bounds.header_seconds
        self._held_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._held_bytes = 0  # no protocol but this one is spoken here: what follows is dropped
        except httptools.HttpParserError:
            self._reject(self._reason or "malformed")
        else:
            if self._held_bytes > self._bounds.max_header_bytes:
                self._reject("headers_large")
            elif not (self._is_in_head or self._is_in_body or self._is_between()):
                self._deadline = NEVER

    def _is_between(self) -> bool:
        """Whether no response is due; before the first request there is no cycle."""
        return bool(getattr(self.cycle, "response_complete", True))

    def on_message_begin(self) -> None:
        """Begin the headers with their time-out; that of the first ones began with the connection."""
        super().on_message_begin()
        self._is_in_head, self._is_in_body = True, False
        self._head_bytes = self._head_lines = self._discarded_bytes = 0
        self._deadline = min(self._deadline, self.loop.time() + self._bounds.header_seconds)

    def on_url(self, url: bytes) -> None:
        """Receive a piece of the target."""
        self._held_bytes = 0
        self._head_bytes += len(url)
        if self._head_bytes > self._bounds.max_target_bytes:
            self._fail("target_long")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header; drop a trailer, which must not be treated as a header (RFC 9110, 6.5.1)."""
        self._held_bytes = 0
        self._head_bytes += len(name) + len(value) + 4
        self._head_lines += 1
        if self._head_bytes > self._bounds.max_header_bytes or self._head_lines > self._bounds.max_header_lines:
            self._fail("headers_large")
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the framing of the message, and pass the request on."""
        self._held_bytes = 0
        self._deadline = self.loop.time() + self._bounds.body_seconds
        if reason := find_framing_fault(self.headers, self.parser.get_http_version()):
            self._fail(reason)
        if len(self.pipeline) >= self._bounds.max_pipelined_requests:
            self._fail("too_many_requests")
        self._fill_scope()
        self._is_in_head, self._is_in_body = False, True
        is_first = self._is_between()
        self.cycle = self._build_cycle()
        if is_first:
            self._start_asgi_task(self.cycle, self.app)
        else:  # it is not read before its turn comes
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
            self._deadline = NEVER

    def _fill_scope(self) -> None:
        """Fill the scope of the application with method, version, path and query."""
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = self.parser.get_http_version()
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = target.path
        self.scope["query_string"] = target.query or b""

    def _build_cycle(self) -> Cycle:
        """Build the cycle of a request. Offers of other protocols are ignored."""
        return Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.should_keep_alive()
            and self.scope["http_version"] != "1.0"
            and not self.parser.should_upgrade(),
            on_response=self.on_response_complete,
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._is_in_body and cycle is self.cycle:
            self._deadline = self.loop.time() + self._bounds.body_seconds
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Receive a piece of a body, or discard it after its response was sent."""
        self._held_bytes = 0
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self._fail("body_large")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the message: from here on the application's limits apply."""
        self._held_bytes = 0
        self._is_in_body = False
        self._deadline = NEVER
        super().on_message_complete()

    # ------------------------------------------------ what goes out

    def on_response_complete(self) -> None:
        """Continue with the next request, or end a connection that was rejected meanwhile."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            else:
                self._idle_deadline = self.loop.time() + self._bounds.idle_seconds
        if self._is_ending and not self.pipeline:
            self._linger()

    def _fail(self, reason: str) -> None:
        """Stop the parser; `data_received` rejects the request."""
        self._reason = reason
        raise Refused(reason)

    def _reject(self, reason: str) -> None:
        """Respond to a request that exceeded a limit if it is its turn, and end the connection.

        Responses that are owed to earlier requests of the connection come first.
        """
        self.port.count_refused(reason)
        self._is_ending = True
        is_own = self._is_in_body and self.cycle is not None
        if is_own:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if is_own and self.pipeline:
            self.pipeline.popleft()
            return
        if is_own and self.cycle.response_started:
            self.transport.abort()
            return
        if not is_own and not self._is_between():
            return
        self.transport.write(build_rejection(REJECTIONS[reason], self.server_state.default_headers))
        self._linger()

    def _linger(self) -> None:
        """Wait until the client has the response: closing a connection with unread bytes would reset it."""
        if self.transport.is_closing():
            return
        self._idle_deadline = NEVER
        self.flow.resume_reading()
        self._linger_deadline = self.loop.time() + self._bounds.linger_seconds
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _abort(self, reason: str) -> None:
        self.port.count_refused(reason)
        self.transport.abort()


def build_protocol(bounds: ServerLimits) -> type[BoundedProtocol]:
    """Return the protocol of one port, for `uvicorn.Config(http=...)`."""
    return type("PortProtocol", (BoundedProtocol,), {"port": Port(bounds)})


def find_framing_fault(headers: Sequence[tuple[bytes, bytes]], version: str) -> str | None:
    """Return the fault that makes the framing or the host of a message ambiguous (RFC 9112, 3.2 and 6).

    A proxy might read it otherwise, and see other requests than we do.
    """
    lengths = hosts = codings = 0
    for name, value in headers:
        if name == b"content-length":
            lengths += 1
        elif name == b"host":
            hosts += 1
            if HOST_FORM.fullmatch(value) is None:
                return "host_malformed"
        elif name == b"transfer-encoding":
            codings += 1
            if value.strip().lower() != b"chunked":
                return "coding_unknown"
    if codings + lengths > 1 or (codings and version != "1.1"):
        return "malformed"
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return "host_missing"
    return None
