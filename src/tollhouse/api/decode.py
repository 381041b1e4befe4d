"""Reading bodies: the one place where bytes of a client become data.

Content type, size, depth, duplicate keys, numbers as decimals, text that a database can hold, `[]` where an object
is meant; then the model, and its faults by their paths. The framework's own decoding does none of this.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, NoReturn
from urllib.parse import parse_qsl

from litestar import Request
from litestar.exceptions import InternalServerException
from pydantic import BaseModel, ConfigDict, model_validator

from tollhouse.api.straight import Call, ClientGone
from tollhouse.kernel.errors import Invalid, TooLarge, WrongMediaType

MAX_BODY_BYTES = 64 * 1024
MAX_TOKENIZE_BYTES = 8 * 1024
MAX_DEPTH = 10
MAX_FORM_FIELDS = 50
#: Fewer brackets than this cannot nest too deeply, so no look is needed.
FEW_BRACKETS = 11
LONGEST_NUMBER = 40
#: Of the path of a key that stands twice: the key is the client's own.
LONGEST_PATH = 128


async def read_object(request: Request[Any, Any, Any] | Call, *, limit_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Read a body that has to be a JSON object; nothing and `[]` are the empty one.

    Raises WrongMediaType, TooLarge and Invalid.
    """
    body = await _read_bytes(request, limit_bytes)
    if not body:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType
    content = parse_json(body)
    if content == []:
        return {}
    if not isinstance(content, dict):
        raise Invalid({}, "The body has to be a JSON object.")
    return content


async def read_form(request: Request[Any, Any, Any] | Call, *, limit_bytes: int) -> dict[str, str]:
    """Read a body of form fields, whatever its content type says; of a field that comes twice the last one counts.

    Raises TooLarge and Invalid.
    """
    body = await _read_bytes(request, limit_bytes)
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"))
    except ValueError:  # bytes that are no UTF-8, or too many fields
        raise Invalid({}, "The body does not hold form fields.") from None
    _check_texts(fields)
    return fields


async def _read_bytes(request: Request[Any, Any, Any] | Call, limit_bytes: int) -> bytes:
    if _read_length(request.headers.get("content-length", "0")) > limit_bytes:
        raise TooLarge(f"The body is larger than {limit_bytes} bytes.")
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit_bytes:
                raise TooLarge(f"The body is larger than {limit_bytes} bytes.")
            chunks.append(chunk)
    except (ClientGone, InternalServerException):  # the second is the framework's word for it
        raise Invalid({}, "The body ended too early.") from None
    return b"".join(chunks)


def _read_length(declared: str) -> int:
    """Return how long a body is said to be."""
    try:
        return int(declared)
    except ValueError:
        raise Invalid({}, "The Content-Length is not a number.") from None


def parse_json(body: bytes) -> Any:
    """Parse JSON: fractions as decimals, no key twice, no NaN, bounded depth, no text that cannot be stored.

    Raises Invalid, whose message never holds what was sent.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid({}, "The body is not UTF-8.") from None
    try:
        content = _load(text, _DECODER)
    except _KeyGivenTwice:
        content = _load(text, _DECODER_OF_DOUBLES)
        _check_depth(content, MAX_DEPTH)
        raise Invalid({path: ["is given twice"] for path in _find_doubles(content, "")}) from None
    if text.count("{") + text.count("[") >= FEW_BRACKETS:
        _check_depth(content, MAX_DEPTH)
    if "\\u" in text or "\0" in text:
        _check_texts(content)
    return content


def _load(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Invalid({}, f"The body is not JSON: line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise Invalid({}, "The body is nested too deeply.") from None


def _read_decimal(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise Invalid({}, "The body has a number with too many digits.")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond what decimals have
        raise Invalid({}, "The body has a number that is too large or too small.") from None
    if abs(number.adjusted()) > LONGEST_NUMBER:
        raise Invalid({}, "The body has a number that is too large or too small.")
    return number


def _read_int(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise Invalid({}, "The body has a number with too many digits.")
    return int(text)


def _refuse_constant(_: str) -> NoReturn:
    raise Invalid({}, "The body is not JSON: it has a number that is none.")


class _KeyGivenTwice(Exception):
    """An object has a key that stands more than once."""


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _KeyGivenTwice
    return content


def _build_decoder(build_object: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_float=_read_decimal,
        parse_int=_read_int,
        parse_constant=_refuse_constant,
        object_pairs_hook=build_object,
    )


class _Doubled(dict[str, Any]):
    """An object with keys that stand more than once, which is refused when the path to it is known."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]


_DECODER, _DECODER_OF_DOUBLES = _build_decoder(_build_object), _build_decoder(_Doubled)


def _find_doubles(content: Any, path: str) -> Iterator[str]:
    """Yield the path of each key that stands more than once, as far as it can be written."""
    if isinstance(content, _Doubled):
        for name in content.names:
            yield f"{path}{name}".encode("utf-8", "replace").decode()[:LONGEST_PATH]
    children: Iterable[tuple[Any, Any]] = content.items() if isinstance(content, dict) else enumerate(content)
    for name, child in children:
        if isinstance(child, dict | list):
            yield from _find_doubles(child, f"{path}{name}.")


def _check_depth(content: Any, left: int) -> None:
    children = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    if children and not left:
        raise Invalid({}, "The body is nested too deeply.")
    for child in children:
        _check_depth(child, left - 1)


def _check_texts(content: Any) -> None:
    """Refuse what PostgreSQL cannot store: NUL and halves of surrogate pairs."""
    if isinstance(content, str):
        if "\0" in content or any("\ud800" <= character <= "\udfff" for character in content):
            raise Invalid({}, "The body has a character that is not allowed in texts.")
    elif isinstance(content, dict):
        for name, child in content.items():
            _check_texts(name)
            _check_texts(child)
    elif isinstance(content, list):
        for child in content:
            _check_texts(child)


def _drop_blanks(content: Any) -> Any:
    """Read `[]` as `{}`, and a field that is null or an empty text as one that is not there."""
    if content == []:
        return {}
    if isinstance(content, dict):
        return {name: value for name, value in content.items() if value is not None and value != ""}
    return content


class Body(BaseModel):
    """What all request models share: unknown fields are ignored, numbers may stand for texts, blanks are absent."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read_leniently(cls, content: Any) -> Any:
        return _drop_blanks(content)
