"""The record of a flow: requests with their responses, callbacks as they were posted, and rows as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import httpx
from tests.golden.names import Names
from tests.support.webshop import dump

#: A shorter value without a digit is never random, save the values of these keys.
MIN_RANDOM, SHORT_RANDOM = 16, frozenset({"approvalCode", "approval_code", "steps"})
#: Longer bodies are told by their length.
MAX_BODY_BYTES = 60_000
#: Headers of a request that every client sends.
USUAL = frozenset({"host", "accept", "accept-encoding", "connection", "user-agent", "content-length"})
#: Texts that are described elsewhere and would hide everything else; of these only the length's presence is told.
LONG_PATHS = ("/openapi.json", "/docs", "/static/", "/3ds/assets/", "/portal/portal.css", "/docs/docs.css")


class Tape(httpx.AsyncBaseTransport):
    """A transport that passes requests on and records them."""

    def __init__(self, inner: httpx.AsyncBaseTransport, names: Names, entries: list[Any]) -> None:
        self._inner = inner
        self._names = names
        self._entries = entries
        self.is_on = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and record it with its response."""
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        if self.is_on:
            sent = {
                "method": request.method,
                "path": self._names.replace(request.url.raw_path.decode()),
                "headers": self._headers(request.headers, request.content, leave_out=USUAL),
                "body": describe_body(request.content, self._names, write=write_as_client),
            }
            self._entries.append({"request": sent, "response": self._told(request, response, content)})
        return response

    def _told(self, request: httpx.Request, response: httpx.Response, content: bytes) -> dict[str, Any]:
        is_long = request.url.path.startswith(LONG_PATHS) and response.status_code == 200
        body = "<not recorded>" if is_long else describe_body(content, self._names)
        headers = self._headers(response.headers, content, leave_out=frozenset({"date"}))
        if is_long or request.method == "HEAD":
            headers = {name: "<any>" if name in {"etag", "content-length"} else headers[name] for name in headers}
        return {"status": response.status_code, "headers": headers, "body": body}

    def _headers(self, headers: httpx.Headers, content: bytes, *, leave_out: frozenset[str]) -> dict[str, str]:
        told = {
            name: " && ".join(headers.get_list(name)) for name in sorted(set(headers.keys())) if name not in leave_out
        }
        if told.get("content-length") == str(len(content)):
            told["content-length"] = "<of the body>"
        return {name: self._names.replace(f"{name}: {value}").partition(": ")[2] for name, value in told.items()}


def write_as_gateway(data: Any) -> str:
    """Write JSON as the gateway does, without spaces."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def write_as_client(data: Any) -> str:
    """Write JSON as the scripts do."""
    return dump(data).decode()


def describe_body(content: bytes, names: Names, *, write: Callable[[Any], str] = write_as_gateway) -> Any:
    """Return a body as data if it is written so that data say all of it, else as a text, by lines if it has several."""
    if len(content) > MAX_BODY_BYTES:
        return f"<{len(content)} bytes>"
    text = content.decode("utf-8", "backslashreplace")
    data = read_json(text, write)
    if data is not None:
        return describe_data(data, names)
    lines = names.replace(text).split("\n")
    return lines if len(lines) > 1 else lines[0]


def read_json(text: str, write: Callable[[Any], str] = write_as_gateway) -> Any:
    """Return JSON as data if writing it gives the same text, so that nothing is lost; else None."""
    if not text.startswith(("{", "[")):
        return None
    try:
        data = json.loads(text)
        is_all = write(data) == text
    except (ValueError, RecursionError):
        return None
    return data if is_all else None


def describe_data(data: Any, names: Names, key: str = "") -> Any:
    """Return data with names for what is random; a number that has one is marked as a number."""
    if isinstance(data, dict):
        return {_describe_key(name, names): describe_data(value, names, name) for name, value in data.items()}
    if isinstance(data, list):
        return [describe_data(value, names, key) for value in data]
    if not _may_be_random(data, key):
        return data
    if isinstance(data, str):
        return names.replace(f'"{key}":"{data}"').removeprefix(f'"{key}":"')[:-1]
    named = names.replace(f'"{key}":{data}').removeprefix(f'"{key}":')
    return data if named == str(data) else f"number {named}"


def _describe_key(key: str, names: Names) -> str:
    return names.replace(key) if len(key) >= MIN_RANDOM else key


def _may_be_random(data: Any, key: str) -> bool:
    """Tell whether a value may need a name, which takes long to find out: short words and small numbers do not."""
    if isinstance(data, str):
        return len(data) >= MIN_RANDOM or key in SHORT_RANDOM or any(letter.isdigit() for letter in data)
    return isinstance(data, int) and not isinstance(data, bool) and (data >= 10**8 or key in SHORT_RANDOM)


def describe_callback(seen: Any, names: Names) -> dict[str, Any]:
    """Return a callback as it was posted."""
    headers = {name.lower(): value for name, value in sorted(seen.headers.items()) if name.lower() != "date"}
    if headers.get("content-length") == str(len(seen.body)):
        headers["content-length"] = "<of the body>"
    headers = {name: names.replace(f"{name}: {value}").partition(": ")[2] for name, value in headers.items()}
    body: Any = describe_body(seen.body, names)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = names.replace(unquote(seen.body.decode().replace("+", " "))).split("&")
    return {"callback": seen.path, "headers": dict(sorted(headers.items())), "body": body}


def describe_rows(rows: Mapping[str, Iterable[str]], names: Names) -> dict[str, list[Any]]:
    """Return rows of each subject; each row came as JSON."""
    return {subject: [_describe_row(row, names) for row in told] for subject, told in rows.items()}


def _describe_row(row: str, names: Names) -> Any:
    """Return a row as data; bodies that are stored in it become data too."""
    told = json.loads(row)
    return describe_data({key: _unfold(value) for key, value in told.items()}, names)


def _unfold(value: Any) -> Any:
    data = read_json(value) if isinstance(value, str) else None
    return value if data is None else data


def write(entries: Any) -> str:
    """Write a record for readers and for `git diff`."""
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"
