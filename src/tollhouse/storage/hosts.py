"""Find the server that accepts writes among the hosts of a DSN.

The driver supports several hosts and `target_session_attrs`, but has one timeout for all of them: a first host that is
switched off would use it up, in every connection. Here each host has its own timeout, and the host that responded last
is tried first.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg

#: The timeout of one of several hosts.
HOST_TIMEOUT_SECONDS = 1.5
#: Errors after which the next host is tried: no response, the wrong kind of server, a starting server, no free
#: connection.
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
    """The hosts of a DSN, in its order. Unless the DSN says otherwise, the one that accepts writes is used."""

    def __init__(self, dsn: str) -> None:
        self._dsns = split_hosts(dsn)
        self._last = 0
        says_target = any(name == TARGET for name, _ in parse_qsl(urlsplit(dsn).query))
        self._options: dict[str, Any] = {} if says_target else {TARGET: "read-write"}

    async def connect(self, *_: Any, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109 - the driver's name for it
        """Connect to the first suitable host, starting with the last one used.

        Positional arguments are the DSN that a pool passes on. Raises the driver's exceptions.
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
    """Return one DSN for each host of a DSN.

    Several hosts are separated by commas, in the authority or as `host`.
    """
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
        return [dsn]  # the driver reports the fault
    rest = [(name, value) for name, value in query if name not in {"host", "port"}]
    single = []
    for host, port in zip_longest(hosts, ports, fillvalue=ports[0]):
        own = [("host", host), *([("port", port)] if port else []), *rest]
        single.append(urlunsplit(parts._replace(query=urlencode(own, quote_via=quote, safe=""))))
    return single
