"""Request bodies: reading, the base of their models, and the texts of their faults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from tollhouse.http.requests import Request
from tollhouse.http.responses import JSON
from tollhouse.http.screen import read_screened_form, read_screened_object
from tollhouse.kernel.errors import Invalid, WrongMediaType
from tollhouse.kernel.faults import RequestRejected, Subject

MAX_BODY_BYTES = 64 * 1024
MAX_TOKENIZE_BYTES = 8 * 1024

Model = TypeVar("Model", bound=BaseModel)


async def read_object(
    request: Request, *, limit_bytes: int = MAX_BODY_BYTES, card_fields: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Read a body that must be a JSON object, and reject card numbers in other fields.

    An empty body and `[]` are the empty object. `card_fields` are the paths that may contain the card number.
    Raises WrongMediaType, TooLarge and Invalid.
    """
    body = await request.read_body(limit_bytes=limit_bytes)
    if not body:
        return {}, {}
    if request.headers.get("content-type").partition(";")[0].strip().lower() != JSON:
        raise WrongMediaType
    return read_screened_object(body, allowed=card_fields)


async def read_form(request: Request, *, limit_bytes: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Read a body of form fields, with any content type, and reject card numbers.

    The last value of a repeated field counts. Raises TooLarge and Invalid.
    """
    return read_screened_form(await request.read_body(limit_bytes=limit_bytes))


def _drop_blanks(content: Any, *, decisive: Collection[str]) -> Any:
    """Read `[]` as `{}`, and null or an empty text as an absent field, unless the field is decisive."""
    if content == []:
        return {}
    if isinstance(content, dict):
        return {
            name: value for name, value in content.items() if (value is not None and value != "") or name in decisive
        }
    return content


def _reject_blanks(schema: Any) -> Any:
    """Return the schema of a model that rejects empty texts."""
    if schema["type"] == "model":
        return schema | {"config": schema["config"] | {"str_min_length": 1}}
    return schema | {"schema": _reject_blanks(schema["schema"])}


TEXT_OF_UNKNOWN = "is not a field of this request"


def names_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's fields on the wire."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


class Canonical:
    """The canonical form of a field: a schema of compiled code, or a type. Strict validation accepts only this form."""

    def __init__(self, form: Any) -> None:
        self._form = form

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the field for lax validation, and that of its canonical form for strict validation."""
        strict = self._form if isinstance(self._form, dict) else handler.generate_schema(self._form)
        return core_schema.lax_or_strict_schema(lax_schema=handler(source), strict_schema=strict)


def validate(model: type[Model], content: dict[str, Any], context: Mapping[str, Any] | None) -> Model:
    """Validate a body. Raises ValidationError.

    If a model is `strict_first`, compiled code first checks whether all fields have their canonical form, as most
    bodies do. Only other bodies are read with all tolerances and searched for all faults.
    """
    if issubclass(model, Body) and model.strict_first:
        try:
            return model.model_validate(content, strict=True, context=context)
        except ValidationError:
            pass
    return model.model_validate(content, context=context)


class Body(BaseModel):
    """The base of request models: unknown fields are ignored, numbers are accepted as texts, blanks are absent."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    #: Fields whose absence gives a call its largest effect. They must not be blank, and if one is absent, unknown
    #: fields are rejected, because one may be a misspelling. A field that the model lacks is always absent.
    decisive: ClassVar[frozenset[str]] = frozenset()
    #: Whether strict validation comes first. It gives the same result as reading with all tolerances.
    strict_first: ClassVar[bool] = False

    @classmethod
    def find_decisive_faults(cls, content: dict[str, Any]) -> dict[str, list[str]]:
        """Return the faults of decisive fields, by the fields' names."""
        blank = {name for name in cls.decisive if name in content and content[name] in (None, "", [])}
        faults = {name: ["must not be blank; send a value or leave it out"] for name in sorted(blank)}
        known = names_of(cls)
        if cls.decisive <= (known & content.keys()) - blank:
            return faults
        return faults | {name: [TEXT_OF_UNKNOWN] for name in content if name not in known}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the model. Blanks are absent in lax validation, and faults in strict validation."""
        fields: Any = handler(source)
        if fields["type"] == "lax-or-strict":  # it was built before
            return cast("CoreSchema", fields)
        ref = fields.pop("ref", None)
        lax = core_schema.no_info_before_validator_function(cls._read_leniently, fields)
        return core_schema.lax_or_strict_schema(lax_schema=lax, strict_schema=_reject_blanks(fields), ref=ref)

    @classmethod
    def _read_leniently(cls, content: Any) -> Any:
        return _drop_blanks(content, decisive=cls.decisive)


#: The values of `paymentSource.type`.
SOURCE_KINDS = ("card", "token", "consumer", "paymentAccountId", "paymentAccountIdWithCvv", "cc_token")

#: The steps that a union adds to the paths of its fields, by the field that contains it. They are left out of paths.
VARIANTS = {"paymentSource": frozenset(SOURCE_KINDS), "sku": frozenset({"one", "bundle"})}
#: Other names of fields by source. A fault is reported under the first name.
OTHER_NAMES = {("token", "value"): "token", ("consumer", "value"): "id"}
MAX_PATH_LENGTH = 128

#: Errors of pydantic as texts of this API. Placeholders are filled from the error's context.
TEXTS = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "union_tag_not_found": "is required",
    "union_tag_invalid": f"must be one of {', '.join(SOURCE_KINDS)}",
    "string_type": "must be a text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "has an invalid form",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} entries",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "decimal_type": "must be a number",
    "decimal_parsing": "must be a number",
    "finite_number": "must be a number",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "decimal_max_places": "must have at most {decimal_places} decimals",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "literal_error": "must be {expected}",
}


def describe_faults(error: ValidationError) -> dict[str, list[str]]:
    """Return the faults of every rejected field, by its path, without its content."""
    faults: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False, include_input=False):
        path = _write_path(fault["loc"], is_missing_tag=fault["type"].startswith("union_tag"))
        faults.setdefault(path, []).append(_describe(fault["type"], fault.get("ctx", {})))
    return faults


@contextmanager
def naming_faults(paths: Mapping[Subject, str]) -> Iterator[None]:
    """Name the faults of a rejected request by their paths in it; `{item}` in a path is an item. Raises Invalid."""
    try:
        yield
    except RequestRejected as rejected:
        named: dict[str, list[str]] = {}
        for fault in rejected.faults:
            named.setdefault(paths[fault.subject].format(item=fault.item), []).append(fault.text)
        raise Invalid(named) from None


def _write_path(location: Iterable[int | str], *, is_missing_tag: bool) -> str:
    parts = [str(part) for part in location]
    if len(parts) > 1 and parts[1] in VARIANTS.get(parts[0], ()):
        variant = parts.pop(1)
        parts[1:2] = [OTHER_NAMES.get((variant, name), name) for name in parts[1:2]]
    return ".".join([*parts, "type"] if is_missing_tag else parts)[:MAX_PATH_LENGTH]


def _describe(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context.get("error", "is not valid"))
    return TEXTS.get(kind, "is not valid").format(**context)
