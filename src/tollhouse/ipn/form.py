"""In which form an event goes out. Pure.

A site asks for one of five formats. `plugin` is for the public WooCommerce plugin, which takes every successful JSON
callback for a payment and every other one for the failure of its order, whatever it is about. It understands refunds
and voids in the legacy form alone, and takes each for a refund of the whole order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tollhouse.catalog.model import IpnFormat

#: How one delivery is written.
Form = Literal["json", "legacy"]

#: How one event is delivered; the form of an event that nobody wants is never asked for.
EventFormat = Literal["json", "legacy", "both"]

#: By what an event is about, and how that ended. The plugin would misread anything else.
PLUGIN_FORMATS: Mapping[tuple[str, str], EventFormat] = {
    ("sale", "success"): "json",
    ("sale", "fail"): "json",
    ("auth", "success"): "json",
    ("auth", "fail"): "json",
    ("settle", "fail"): "json",
    ("void", "success"): "legacy",
    ("refund", "success"): "legacy",
}

#: The kind of events about the end of subscriptions, for which the legacy form has no words.
CANCEL = "cancel"

#: What an event is recorded for and posted only if it holds: nothing is left of the payment; the site has asked for it.
Condition = Literal["nothing_left", "asked_for"]

FORMS: Mapping[str, Sequence[Form]] = {"json": ("json",), "legacy": ("legacy",), "both": ("json", "legacy")}


def choose_format(wanted: IpnFormat, kind: str, status: str) -> EventFormat | None:
    """Return how an event goes to a site that wants this format; None when it does not go out.

    The legacy form has no words for what happens to a subscription without a payment, nor for disputes that were won.
    """
    if wanted == "none":
        return None
    if kind == CANCEL or "." in kind:
        return "json" if wanted in {"json", "both"} else None
    return PLUGIN_FORMATS.get((kind, status)) if wanted == "plugin" else wanted


def choose_condition(wanted: IpnFormat, kind: str) -> Condition | None:
    """Return the condition on which an event goes out that has a format; None when it goes out in any case."""
    if wanted == "plugin" and kind == "refund":
        return "nothing_left"
    return "asked_for" if "." in kind else None


def forms_of(format_: str) -> Sequence[Form]:
    """Return the forms in which an event is delivered, in the order of their delivery numbers."""
    return FORMS[format_]
