"""Read the bodies of requests: content type, size, JSON or a form, the screen for card numbers; then the model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from tollhouse.http.requests import Request
from tollhouse.http.responses import JSON
from tollhouse.http.screen import read_screened_form, read_screened_object
from tollhouse.kernel.errors import WrongMediaType

MAX_BODY_BYTES = 64 * 1024
MAX_TOKENIZE_BYTES = 8 * 1024


async def read_object(
    request: Request, *, limit_bytes: int = MAX_BODY_BYTES, card_fields: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Read a body that has to be a JSON object, and name the fields in which a card number must not stand.

    Nothing and `[]` are the empty object. `card_fields` are the paths at which the request may have its card number.
    Raises WrongMediaType, TooLarge and Invalid.
    """
    body = await request.read_body(limit_bytes=limit_bytes)
    if not body:
        return {}, {}
    if request.headers.get("content-type").partition(";")[0].strip().lower() != JSON:
        raise WrongMediaType
    return read_screened_object(body, allowed=card_fields)


async def read_form(request: Request, *, limit_bytes: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Read a body of form fields, whatever its content type says, and name those in which a card number stands.

    Of a field that comes twice the last one counts. Raises TooLarge and Invalid.
    """
    return read_screened_form(await request.read_body(limit_bytes=limit_bytes))


def _drop_blanks(content: Any, *, decisive: Collection[str]) -> Any:
    """Read `[]` as `{}`, and a field that is null or an empty text as one that is not there, unless it is decisive."""
    if content == []:
        return {}
    if isinstance(content, dict):
        return {
            name: value for name, value in content.items() if (value is not None and value != "") or name in decisive
        }
    return content


TEXT_OF_UNKNOWN = "is no field of this request"


def names_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's fields, as on the wire."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


class Body(BaseModel):
    """What all request models share: unknown fields are ignored, numbers may stand for texts, blanks are absent."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    #: Fields without which the call does the most that it can. One must not be blank, and beside its absence an unknown
    #: field is refused, which may be a misspelling of it. One that the model does not have is always absent.
    decisive: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def find_decisive_faults(cls, content: dict[str, Any]) -> dict[str, list[str]]:
        """Return the faults of decisive fields, by the fields' names."""
        blank = {name for name in cls.decisive if name in content and content[name] in (None, "", [])}
        faults = {name: ["must not be blank; leave it out, or say what is meant"] for name in sorted(blank)}
        known = names_of(cls)
        if cls.decisive <= (known & content.keys()) - blank:
            return faults
        return faults | {name: [TEXT_OF_UNKNOWN] for name in content if name not in known}

    @model_validator(mode="before")
    @classmethod
    def _read_leniently(cls, content: Any) -> Any:
        return _drop_blanks(content, decisive=cls.decisive)
