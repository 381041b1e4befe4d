"""The call by which the Directory Server sends the results of challenges.

The Directory Server authenticates by a secret that the operator chose, or by a client certificate. TLS ends at a
proxy, which verifies the certificate and passes it on in `Client-Cert`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from hmac import compare_digest
from urllib.parse import unquote

import structlog

from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Route
from tollhouse.kernel.errors import NotAuthenticated
from tollhouse.payments.authentication.results import receive_result
from tollhouse.payments.dependencies import AuthenticationDependencies

MAX_RESULT_BYTES = 64 * 1024
MAX_CERTIFICATE_CHARACTERS = 16 * 1024

log = structlog.get_logger()


class DirectoryAccess:
    """Authenticator of the Directory Server by a secret or a client certificate. Without either it rejects all."""

    def __init__(
        self,
        *,
        secret: str | None,
        fingerprints: Sequence[str] = (),
        comes_from_proxy: Callable[[Request], bool] = lambda _: False,
    ) -> None:
        self._secret = secret
        self._fingerprints = tuple(fingerprints)
        self._comes_from_proxy = comes_from_proxy

    def check(self, request: Request) -> None:
        """Raise NotAuthenticated unless the request comes from the Directory Server."""
        if not (self._has_secret(request) or self._has_certificate(request)):
            log.warning("directory.not_authenticated")
            raise NotAuthenticated("Authentication failed. Send the Directory Server's secret or client certificate.")

    def _has_secret(self, request: Request) -> bool:
        value = request.headers.get("authorization")
        return self._secret is not None and compare_digest(value.encode(), f"Bearer {self._secret}".encode())

    def _has_certificate(self, request: Request) -> bool:
        value = request.headers.get("client-cert")
        if not self._fingerprints or not value or not self._comes_from_proxy(request):
            return False
        fingerprint = fingerprint_certificate(value)
        return any(compare_digest(fingerprint, known) for known in self._fingerprints)


def fingerprint_certificate(value: str) -> str:
    """Return the SHA-256 of a certificate passed on by a proxy; return an empty text for an invalid one.

    RFC 9440 writes base64 between colons; nginx writes the percent-encoded PEM.
    """
    text = value[:MAX_CERTIFICATE_CHARACTERS].strip()
    if text.startswith(":"):
        encoded = text.strip(":")
    else:
        lines = unquote(text).strip().splitlines()
        encoded = "".join(line.strip() for line in lines if not line.startswith("-----"))
    try:
        return hashlib.sha256(base64.b64decode(encoded, validate=True)).hexdigest()
    except (binascii.Error, ValueError):
        return ""


class ResultCalls:
    """The call by which the Directory Server sends results."""

    def __init__(self, authentication: AuthenticationDependencies, access: DirectoryAccess) -> None:
        self._authentication = authentication
        self._access = access

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("POST", "/3ds/results", self.receive_result_message)]

    async def receive_result_message(self, request: Request) -> Response:
        """Receive an RReq from the Directory Server and return RRes or Erro."""
        self._access.check(request)
        message = await request.read_body(limit_bytes=MAX_RESULT_BYTES)
        return Response(await receive_result(self._authentication, message))
