"""Responses of the server to requests that do not reach the application."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from tollhouse.kernel.ids import new_request_id


class ServerRejection(NamedTuple):
    """A status with its message."""

    status: HTTPStatus
    message: str


REJECTIONS = {
    "malformed": ServerRejection(HTTPStatus.BAD_REQUEST, "The request is not well-formed HTTP."),
    "host_missing": ServerRejection(HTTPStatus.BAD_REQUEST, "The request must have one Host header."),
    "host_malformed": ServerRejection(HTTPStatus.BAD_REQUEST, "The Host header has an invalid form."),
    "coding_unknown": ServerRejection(HTTPStatus.NOT_IMPLEMENTED, "The only transfer coding is chunked."),
    "too_many_requests": ServerRejection(
        HTTPStatus.BAD_REQUEST, "Too many requests were sent before the first response."
    ),
    "target_long": ServerRejection(HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long."),
    "headers_large": ServerRejection(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large or too many."
    ),
    "headers_late": ServerRejection(HTTPStatus.REQUEST_TIMEOUT, "The headers did not arrive in time."),
    "body_late": ServerRejection(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."),
    "body_large": ServerRejection(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large. Send a smaller one."),
}


def build_rejection(rejection: ServerRejection, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Render a whole response, after which the connection ends."""
    body = json.dumps({"message": rejection.message, "errors": {}}).encode()
    headers = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", new_request_id().encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return f"HTTP/1.1 {rejection.status.value} {rejection.status.phrase}\r\n".encode() + lines + b"\r\n" + body
