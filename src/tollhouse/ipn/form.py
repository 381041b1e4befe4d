"""Choose the form of an event. Pure.

A site has one of five formats. `plugin` is for the public WooCommerce plugin, which takes every successful JSON
callback as a payment and every other one as the failure of its order. It understands refunds and
voids only in the legacy form, and takes each as a refund of the whole order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from tollhouse.catalog.model import IpnFormat

#: The form of one delivery.
Form = Literal["json", "legacy"]

#: The forms of one event.
EventFormat = Literal["json", "legacy", "both"]

#: By kind and status of an event. The plugin would misread all others.
PLUGIN_FORMATS: Mapping[tuple[str, str], EventFormat] = {
    ("sale", "success"): "json",
    ("sale", "fail"): "json",
    ("auth", "success"): "json",
    ("auth", "fail"): "json",
    ("settle", "fail"): "json",
    ("void", "success"): "legacy",
    ("refund", "success"): "legacy",
}

#: The kind of events about the end of subscriptions, which the legacy form cannot express.
CANCEL = "cancel"

#: The condition for posting a recorded event: nothing of the payment is left; the site has enabled the kind.
Condition = Literal["nothing_left", "asked_for"]

FORMS: Mapping[str, Sequence[Form]] = {"json": ("json",), "legacy": ("legacy",), "both": ("json", "legacy")}


def choose_format(site_format: IpnFormat, kind: str, status: str) -> EventFormat | None:
    """Return the format of an event for a site's format; None if it is not posted.

    The legacy form cannot express events of subscriptions without a payment, and disputes that were won.
    """
    if site_format == "none":
        return None
    if kind == CANCEL or "." in kind:
        return "json" if site_format in {"json", "both"} else None
    return PLUGIN_FORMATS.get((kind, status)) if site_format == "plugin" else site_format


def choose_condition(site_format: IpnFormat, kind: str) -> Condition | None:
    """Return the condition for posting an event that has a format; None if there is no condition."""
    if site_format == "plugin" and kind == "refund":
        return "nothing_left"
    return "asked_for" if "." in kind else None


def forms_of(format_: str) -> Sequence[Form]:
    """Return the forms in which an event is delivered, in the order of their delivery numbers."""
    return FORMS[format_]
