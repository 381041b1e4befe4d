"""Every text field of every request has a bound, and a generous one where customers type it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import tollhouse.api
from tollhouse.api.consumer import ConsumerRequest
from tollhouse.api.fields.card import CardFields
from tollhouse.api.fields.consumer import ConsumerFields
from tollhouse.api.fields.values import MAX_TYPED_CHARACTERS
from tollhouse.api.reading.body import Body

#: Names, codes and settings that programs choose, not people: they keep the bounds of the contract.
CHOSEN_BY_PROGRAMS = {
    *("id", "siteId", "name", "mid", "token", "paymentAccountId", "consumerId", "domainName", "type", "ustas"),
    *("sku_name", "language", "layout", "selected", "paymentMethod", "ttl", "from", "cavv", "externalId", "descriptor"),
    *("browserJavaEnabled", "browserColorDepth", "browserScreenHeight", "browserScreenWidth"),
}
#: Texts of a form that a validator checks, with the longest that passes.
OF_A_FORM = {
    *("emulateCode", "eci", "protocolVersion", "directoryServerTransactionId", "taxRate", "offset"),
    *("until", "advance", "from", "to", "at", "cancelDate", "birthday"),
}


def all_models() -> list[type[Body]]:
    """Return every model of a request, and of the parts of one."""
    for module in pkgutil.walk_packages(tollhouse.api.__path__, "tollhouse.api."):
        importlib.import_module(module.name)
    found: list[type[Body]] = []
    waiting: list[type[Body]] = [Body]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found += subclasses
        waiting += subclasses
    return list(dict.fromkeys(found))


def texts_of(model: type[Body]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each field that may be a text which is not one of a few, with its schema."""
    for name, schema in model.model_json_schema().get("properties", {}).items():
        for variant in schema.get("anyOf", [schema]):
            whole = {**schema, **variant}
            kinds = whole.get("type", ())
            is_text = "string" in ([kinds] if isinstance(kinds, str) else kinds)
            if is_text and not {"enum", "const", "pattern", "format"} & whole.keys():
                yield name, whole


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_every_text_has_a_bound(model: type[Body]) -> None:
    """A text that is neither one of a few, nor of a form, nor chosen by a program, may have 255 characters or more."""
    for name, schema in texts_of(model):
        longest = schema.get("maxLength", 0)
        assert name in OF_A_FORM or longest, name
        assert name in OF_A_FORM | CHOSEN_BY_PROGRAMS or longest >= MAX_TYPED_CHARACTERS, (name, longest)


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_every_list_has_a_bound(model: type[Body]) -> None:
    """No list of a request is endless."""
    for name, schema in model.model_json_schema().get("properties", {}).items():
        for variant in schema.get("anyOf", [schema]):
            if variant.get("type") == "array" and name not in {"metadata", "templateParameters"}:
                assert variant.get("maxItems"), name


@pytest.mark.parametrize(
    ("model", "names", "least"),
    [
        (ConsumerFields, ["firstName", "lastName", "email", "phone", "address", "city", "state", "zip"], {"ip": "::1"}),
        (ConsumerFields, ["userAgent", "browserAcceptHeader", "browserLanguage", "browserTimezone"], {"ip": "::1"}),
        (ConsumerRequest, ["username", "firstName", "lastName"], {"externalId": "abc"}),
        (
            CardFields,
            ["cardHolder", "zip"],
            {"number": "4024007179366348", "expirationMonth": 12, "expirationYear": 30},
        ),
    ],
)
def test_what_customers_type_is_taken(model: type[Body], names: list[str], least: dict[str, Any]) -> None:
    """Names, addresses and the like are taken with up to 255 characters of any script, as they are."""
    typed = dict.fromkeys(names, "ä中" * 127 + "x")
    read = model.model_validate(least | typed)
    assert {name: getattr(read, name) for name in names} == typed
