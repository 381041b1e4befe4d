"""Find the server that takes writes among the hosts of a DSN.

The driver knows several hosts and `target_session_attrs`, but has one time-out for all of them: a first host that is
switched off and answers nothing would use it up, in every connection. Here each host has a time-out of its own, and the
host that answered last is asked first.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

#: How long one of several hosts may take to answer.
HOST_TIMEOUT_SECONDS = 1.5
#: Errors after which the next host is tried: no answer, not the wanted kind of server, not up yet, no connection free.
NEXT_HOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)
TARGET = "target_session_attrs"


class Hosts:
    """The hosts of a DSN, in its order; unless it says otherwise, the one that takes writes is wanted."""

    def __init__(self, dsn: str) -> None:
        self._dsns = split_hosts(dsn)
        self._last = 0
        says_target = any(name == TARGET for name, _ in parse_qsl(urlsplit(dsn).query))
        self._options: dict[str, Any] = {} if says_target else {TARGET: "read-write"}

    async def connect(self, *_: Any, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109 - the driver's name for it
        """Connect to the first host that will do, the last one that did before all others.

        Positional arguments are the DSN that a pool passes on. Raises what the driver raises.
        """
        count = len(self._dsns)
        seconds = timeout if count == 1 else min(timeout, HOST_TIMEOUT_SECONDS)
        problems: list[Exception] = []
        for place in range(self._last, self._last + count):
            try:
                connection = await asyncpg.connect(
                    self._dsns[place % count], timeout=seconds, **self._options, **options
                )
            except NEXT_HOST as error:
                problems.append(error)
            else:
                self._last = place % count
                return connection
        raise problems[-1]


def split_hosts(dsn: str) -> list[str]:
    """Write a DSN for each host of one that may name several, separated by commas, in its authority or as `host`."""
    parts = urlsplit(dsn)
    user, at, authority = parts.netloc.rpartition("@")
    query = parse_qsl(parts.query, keep_blank_values=True)
    named = dict(query)
    if "," not in named.get("host", authority):
        return [dsn]
    if "host" not in named:
        return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in authority.split(",")]
    hosts, ports = named["host"].split(","), named.get("port", "").split(",")
    if len(ports) not in {1, len(hosts)}:
        return [dsn]  # the driver says what is wrong with it
    rest = [(name, value) for name, value in query if name not in {"host", "port"}]
    single = []
    for host, port in zip_longest(hosts, ports, fillvalue=ports[0]):
        own = [("host", host), *([("port", port)] if port else []), *rest]
        single.append(urlunsplit(parts._replace(query=urlencode(own, quote_via=quote, safe=""))))
    return single
