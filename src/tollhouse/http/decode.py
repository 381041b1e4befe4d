"""Decoding of request bodies.

JSON with fractions as decimals, bounded depth, no key twice, no text that a database cannot hold; forms with a bounded
number of fields. What does not pass is `Invalid`, never a defect, and no message holds any of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import msgspec

from tollhouse.kernel.errors import Invalid

MAX_DEPTH = 10
MAX_FORM_FIELDS = 50
#: A body with fewer brackets cannot nest too deeply, so its depth is not checked.
FEW_BRACKETS = 11
MAX_NUMBER_LENGTH = 40
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"000000000")
#: With fewer digits side by side no number is too long.
_MANY_DIGITS = b"0" * (MAX_NUMBER_LENGTH - 1)
#: Maximum length of a path in an error, whose keys come from the client.
MAX_PATH_LENGTH = 128
#: A byte order mark, which some tools write before their text (RFC 8259, 8.1, lets a reader ignore it).
MARK = b"\xef\xbb\xbf"


class GivenTwice(Invalid):
    """An object has a repeated key. `content` is the body, with the last value of each key."""

    def __init__(self, errors: dict[str, list[str]], content: Any) -> None:
        super().__init__(errors)
        self.content = content


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse JSON that must be an object; an empty body and `[]` are the empty object. Raises Invalid."""
    content = parse_json(body) if body else {}
    if content == []:
        return {}
    if not isinstance(content, dict):
        raise Invalid({}, "The body must be a JSON object.")
    return content


def parse_form(body: bytes, *, max_fields: int = MAX_FORM_FIELDS) -> dict[str, str]:
    """Parse form fields; the last value of a repeated field counts. Raises Invalid."""
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=max_fields, errors="strict"))
    except ValueError:  # invalid UTF-8, or too many fields
        raise Invalid({}, "The body must be form fields.") from None
    _check_texts(fields)
    return fields


def parse_json(body: bytes) -> Any:
    """Parse JSON: fractions as decimals, no key twice, no NaN, bounded depth, no text that cannot be stored.

    Raises Invalid, whose message never quotes the body.
    """
    body = body.removeprefix(MARK)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid({}, "The body must be UTF-8.") from None
    try:
        content = _load_quickly(body)
        if content is None:
            content = _load(text, _DECODER)
    except _KeyGivenTwice:
        content = _load(text, _DECODER_OF_DOUBLES)
        _check_depth(content, MAX_DEPTH)
        raise GivenTwice({path: ["is given twice"] for path in _find_doubles(content, "")}, content) from None
    if text.count("{") + text.count("[") >= FEW_BRACKETS:
        _check_depth(content, MAX_DEPTH)
    if "\\u" in text or "\0" in text:
        _check_texts(content)
    return content


def _load_quickly(body: bytes) -> Any:
    """Parse most bodies by compiled code; return None for one that is unusual or invalid.

    A repeated key is detected by the quotation marks: the encoded content has fewer of them.
    """
    if b"\\" in body or _MANY_DIGITS in body.translate(_DIGITS_TO_ZEROS):
        return None
    try:
        content = _decode_quickly(body)
        is_plain = _encode_quickly(content).count(b'"') == body.count(b'"')
    except (msgspec.DecodeError, Invalid, RecursionError, UnicodeError):
        return None
    return content if is_plain else None


def _load(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Invalid({}, f"The body is not JSON: line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise Invalid({}, "The body is nested too deeply.") from None


def _read_decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Invalid({}, "The body contains a number with too many digits.")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond what decimals have
        raise Invalid({}, "The body contains a number that is too large or too small.") from None
    if abs(number.adjusted()) > MAX_NUMBER_LENGTH:
        raise Invalid({}, "The body contains a number that is too large or too small.")
    return number


def _read_int(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Invalid({}, "The body contains a number with too many digits.")
    return int(text)


def _reject_constant(_: str) -> NoReturn:
    raise Invalid({}, "The body is not JSON: it contains an invalid number.")


class _KeyGivenTwice(Exception):
    """An object has a repeated key."""


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise _KeyGivenTwice
    return content


def _build_decoder(build_object: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_float=_read_decimal, parse_int=_read_int, parse_constant=_reject_constant, object_pairs_hook=build_object
    )


class _Doubled(dict[str, Any]):
    """An object with repeated keys, which is rejected once its path is known."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]


_encode_quickly = msgspec.json.Encoder(decimal_format="number").encode
_decode_quickly = msgspec.json.Decoder(float_hook=_read_decimal).decode
_DECODER, _DECODER_OF_DOUBLES = _build_decoder(_build_object), _build_decoder(_Doubled)


def _find_doubles(content: Any, path: str) -> Iterator[str]:
    """Yield the path of each repeated key, as far as it can be written."""
    if isinstance(content, _Doubled):
        for name in content.names:
            yield _write_path(path, name)
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
    """Reject characters that PostgreSQL cannot store, NUL and lone surrogates, and name each field with one."""
    if faulty := list(_find_unstorable(content, "")):
        raise Invalid({path: ["contains a character that is not allowed in texts"] for path in faulty})


def _find_unstorable(content: Any, path: str) -> Iterator[str]:
    if isinstance(content, str):
        if _is_unstorable(content):
            yield path.removesuffix(".")
    elif isinstance(content, dict | list):
        children: Iterable[tuple[Any, Any]] = content.items() if isinstance(content, dict) else enumerate(content)
        for name, child in children:
            if isinstance(name, str) and _is_unstorable(name):
                yield _write_path(path, name)
            else:
                yield from _find_unstorable(child, f"{_write_path(path, name)}.")


def _is_unstorable(text: str) -> bool:
    return "\0" in text or any("\ud800" <= character <= "\udfff" for character in text)


def _write_path(path: str, name: Any) -> str:
    """Return the path of a key, as far as it can be written."""
    return f"{path}{name}".replace("\0", "").encode("utf-8", "replace").decode()[:MAX_PATH_LENGTH]
