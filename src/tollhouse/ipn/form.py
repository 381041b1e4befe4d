"""In which form an event goes out. Pure.

A site asks for one of five formats. `plugin` is for the public WooCommerce plugin, which takes every successful JSON
callback for a payment, whatever it is about, and understands voids and credits in the legacy form alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tollhouse.catalog.model import IpnFormat

#: How one delivery is written.
Form = Literal["json", "legacy"]

#: How one event is delivered; the form of an event that nobody wants is never asked for.
EventFormat = Literal["json", "legacy", "both"]

#: By what an event is about. The plugin would read anything else as a payment that was made or failed.
PLUGIN_FORMATS: Mapping[str, EventFormat] = {"sale": "json", "auth": "json", "void": "legacy", "credit": "legacy"}

FORMS: Mapping[str, Sequence[Form]] = {"json": ("json",), "legacy": ("legacy",), "both": ("json", "legacy")}


def choose_format(wanted: IpnFormat, kind: str) -> EventFormat | None:
    """Return how an event of this kind goes to a site that wants this format; None when it does not go out.

    The legacy form has no words for what happens to a subscription without a payment.
    """
    if wanted == "none":
        return None
    if kind.startswith("subscription."):
        return "json" if wanted in {"json", "both"} else None
    return PLUGIN_FORMATS.get(kind) if wanted == "plugin" else wanted


def forms_of(format_: str) -> Sequence[Form]:
    """Return the forms in which an event is delivered, in the order of their delivery numbers."""
    return FORMS[format_]
