"""The types of ASGI, for the wrappers of this package."""

from __future__ import annotations

from tollhouse.http.asgi import Application, Message, Receive, Scope, Send

__all__ = ["Application", "Message", "Receive", "Scope", "Send"]
