"""The PHP client of the tests: what it writes and what it refuses to read."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.php import PhpTypeError, PhpWarning, encode, read
from tests.support.php_client import SITE, TEST_DATA


def test_what_php_writes() -> None:
    """Slashes and letters are escaped, empty arrays are lists, numbered ones too, whole amounts are integers."""
    assert encode({"url": "http://a/ä", "a": {}, "m": {"0": "x", "1": 2.0}, "n": 9.99}) == (
        rb'{"url":"http:\/\/a\/\u00e4","a":[],"m":["x",2],"n":9.99}'
    )


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({}, PhpTypeError),
        ([], PhpTypeError),
        ({"id": None}, PhpTypeError),
        ({"id": {}}, PhpTypeError),
        ({"id": "string"}, PhpTypeError),
        ({"id": 1, "list": {}, "seen": 1}, PhpTypeError),
        ({"id": "1", "list": []}, PhpWarning),
    ],
)
def test_what_php_does_not_read(content: Any, error: type[Exception]) -> None:
    """What is missing, null or of another kind ends the getter."""
    with pytest.raises(error):
        read(content, {"id": ("must", "int"), "list": ("must", "list"), "seen": ("warn", "bool")})


@pytest.mark.parametrize("fields", [SITE, TEST_DATA], ids=["site", "test data"])
def test_every_field_that_must_be_there_is_asked_for(fields: dict[str, Any]) -> None:
    """A record without any one of the fields that it must have is not read."""
    samples = {"string": "x", "int": 1, "float": 1.5, "bool": True, "list": [], "object": {}}
    whole = {name: samples[kind] for name, (_, kind) in fields.items()}
    assert read(whole, fields)
    for name, (need, _) in fields.items():
        if need == "must":
            with pytest.raises(PhpTypeError):
                read({key: value for key, value in whole.items() if key != name}, fields)
