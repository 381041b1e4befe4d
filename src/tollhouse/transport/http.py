"""The seam over HTTP."""

from __future__ import annotations

import aiohttp

from tollhouse.transport.model import NoAnswer, NotSent

#: The longest answer that is read: room for a page of whatever a party lists.
MAX_ANSWER_BYTES = 512 * 1024

#: Connections to one party at a time.
MAX_CONNECTIONS = 100


class HttpTransport:
    """Posts to paths below one base URL. Redirects are not followed and no proxy of the environment is used."""

    def __init__(self, base_url: str, *, authorization: str | None = None) -> None:
        self._headers = {"Content-Type": "application/json"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections that are kept open."""
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, body: bytes, *, timeout_seconds: float) -> bytes:
        """Send a JSON body and return the body of the answer. Raises NotSent and NoAnswer."""
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self._open_session().post(
                self._base_url + path,
                data=body,
                headers=self._headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                answer = await _read(response.content)
                if response.status != 200 or len(answer) > MAX_ANSWER_BYTES:
                    raise NoAnswer(f"The answer had status {response.status} and {len(answer)} bytes.")
                return answer
        except aiohttp.ClientConnectorError as error:
            raise NotSent from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        return self._session


async def _read(content: aiohttp.StreamReader) -> bytes:
    """Read to the end, or one byte past the bound: an answer may come in pieces."""
    answer = bytearray()
    while len(answer) <= MAX_ANSWER_BYTES:
        piece = await content.read(MAX_ANSWER_BYTES + 1 - len(answer))
        if not piece:
            break
        answer += piece
    return bytes(answer)
