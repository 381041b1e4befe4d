"""The body of `POST /payment` (wire contract, section 2; behaviour, section 3)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tollhouse.api.fields.consumer import EMAIL_OPTIONS_TEXT, AnyEmailOptions, ConsumerFields
from tollhouse.api.fields.sku import MAX_SKUS, AnySku, SkuFields, UrlFields
from tollhouse.api.fields.source import AnySource, find_mpi_faults
from tollhouse.api.fields.values import Metadata, read_empty_list
from tollhouse.api.reading.body import Body


class PaymentRequest(Body):
    """A payment."""

    strict_first = True

    paymentSource: AnySource = Field(description="What pays.")
    sku: AnySku = Field(
        description="The item sold. A list is a bundle: one payment, and a subscription for each schedule."
    )
    consumer: ConsumerFields = Field(description="Who pays.")
    url: UrlFields = Field(default_factory=UrlFields, description="The URLs for the result.")
    metadata: Metadata = Field(default_factory=dict, description="Returned as sent; a list is accepted too.")
    emailOptions: AnyEmailOptions = Field(None, description=EMAIL_OPTIONS_TEXT)

    @property
    def skus(self) -> list[SkuFields]:
        """The items: one, or those of a bundle."""
        return self.sku if isinstance(self.sku, list) else [self.sku]


def find_cross_faults(body: dict[str, Any]) -> dict[str, list[str]]:
    """Return faults between fields, even if the body has other faults."""
    faults: dict[str, list[str]] = {}
    for path, sku in skus_of(body):
        faults |= _find_sku_faults(path, sku)
    source, consumer = _object_at(body, "paymentSource"), _object_at(body, "consumer")
    if consumer is not None and source is not None and source.get("type") == "card":
        missing = [name for name in ("firstName", "lastName") if not consumer.get(name)]
        faults |= {f"consumer.{name}": ["is required for a card"] for name in missing}
    if source is not None:
        faults |= find_mpi_faults(source.get("mpiParameters"), "paymentSource.mpiParameters")
    return faults


def _find_sku_faults(path: str, sku: dict[str, Any]) -> dict[str, list[str]]:
    if sku.get("name"):
        return {}
    if not sku.get("siteId"):
        return {f"{path}.siteId": [f"is required, or {path}.name"]}
    return {} if sku.get("price") else {f"{path}.price": [f"is required with {path}.siteId"]}


def skus_of(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the items with their paths, from a body that may be invalid."""
    sku = read_empty_list(body.get("sku"))
    if isinstance(sku, list):
        listed = [(f"sku.{index}", read_empty_list(one)) for index, one in enumerate(sku[:MAX_SKUS])]
        return [(path, one) for path, one in listed if isinstance(one, dict)]
    return [("sku", sku)] if isinstance(sku, dict) else []


def _object_at(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return an object in the body, or None if it is absent or has another type, which the model reports."""
    value = read_empty_list(body.get(name))
    return value if isinstance(value, dict) else None
