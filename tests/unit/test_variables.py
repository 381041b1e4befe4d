"""What the environment may say, and what is told to whoever mistyped it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tollhouse.acquirers.approving import ApprovingAcquirer
from tollhouse.composition.choices import build_acquirer
from tollhouse.composition.settings import Settings
from tollhouse.composition.variables import find_unknown
from tollhouse.kernel.errors import InternalError
from tollhouse.transport.http import HttpTransport

URLS = ("base_url", "simulator_url", "simulator_base_url", "phone_sender_url")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("TOLLHOUSE_PROT", "TOLLHOUSE_PORT"),
        ("TOLLHOUSE_BASEURL", "TOLLHOUSE_BASE_URL"),
        ("TOLLHOUSE_DATABSE_URL", "TOLLHOUSE_DATABASE_URL"),
        ("TOLLHOUSE_METRICS_PORT", "TOLLHOUSE_HEALTH_PORT"),
        ("tollhouse_enviroment", "TOLLHOUSE_ENVIRONMENT"),
        ("TOLLHOUSE_XYZZY", None),
        ("TOLLHOUSE_", None),
    ],
)
def test_a_mistyped_variable_is_found(typed: str, meant: str | None) -> None:
    """A variable with our prefix that does not exist is found, with the one that was probably meant."""
    environment = {"PATH": "/bin", "TOLLHOUSE_PORT": "1", "tollhouse_host": "::1", typed: "x"}
    assert find_unknown(environment, Settings.model_fields) == {typed: meant}


@given(st.sampled_from(sorted(Settings.model_fields)), st.data())
def test_a_slip_in_any_variable_is_found(name: str, data: st.DataObject) -> None:
    """One letter left out of a setting's name is told, whichever setting it is."""
    position = data.draw(st.integers(0, len(name) - 1))
    slip = name[:position] + name[position + 1 :]
    if slip not in Settings.model_fields:
        assert f"TOLLHOUSE_{slip.upper()}" in find_unknown([f"TOLLHOUSE_{slip.upper()}"], Settings.model_fields)


@pytest.mark.parametrize("setting", URLS)
@pytest.mark.parametrize(
    "url",
    [
        "notaurl",
        "pay.example",
        "//pay.example",
        "ftp://pay.example",
        "javascript://pay.example",
        "http://",
        "http:///path",
        "http://:8080",
        "http://pay.example:0",
        "http://pay.example:99999",
        "http://pay.example:x",
        "http://user:password@pay.example",
        "http://pay.example?x=1",
        "http://pay.example#x",
        "http://pay example",
        "http://pay.example\\x",
        "http://[::1",
        "http://999.1.1.1",
        " http://pay.example",
    ],
)
def test_a_url_that_is_none_is_refused(setting: str, url: str) -> None:
    """Every setting that is a URL is checked when the process starts, and the message does not repeat it."""
    with pytest.raises(ValidationError, match="must be a URL such as https:"):
        Settings(**{setting: url})  # type: ignore[arg-type]  # the setting is chosen by its name


@pytest.mark.parametrize("setting", URLS)
@pytest.mark.parametrize(
    "url", ["https://pay.example", "http://[::1]:8080/x/", "http://localhost:1", "http://10.0.0.1/"]
)
def test_a_url_is_taken_without_its_last_slash(setting: str, url: str) -> None:
    """A good URL stays as it is but for the slash at its end."""
    assert getattr(Settings(**{setting: url}), setting) == url.rstrip("/")  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("setting", ["host", "health_host"])
@pytest.mark.parametrize(
    "host", ["http://127.0.0.1", "127.0.0.1:80", "1.2.3", "a b", "[::1]:80", "[localhost]", "::g", "-a"]
)
def test_a_host_that_is_none_is_refused(setting: str, host: str) -> None:
    """A host to listen on is an address or a name."""
    with pytest.raises(ValidationError, match="must be an address such as"):
        Settings(**{setting: host})  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("host", "taken"),
    [("::1", "::1"), ("[::]", "::"), ("0.0.0.0", "0.0.0.0"), ("localhost", "localhost")],  # noqa: S104 - not bound
)
def test_a_host_may_stand_in_brackets(host: str, taken: str) -> None:
    """An IPv6 address is taken as it is written in a URL too."""
    assert Settings(host=host).host == taken


@pytest.mark.parametrize("url", ["notaurl", "mysql://x/y", "postgresql:/x", "postgresql://", "postgresql://a b/c"])
def test_a_database_url_that_is_none_is_refused(url: str) -> None:
    """A database is named by a URL of PostgreSQL."""
    with pytest.raises(ValidationError, match="must be a URL such as postgresql:"):
        Settings(database_url=url)


@pytest.mark.parametrize(
    "url", ["postgresql:///x?host=/tmp", "postgres://u:p@a:1,b:2/x?target_session_attrs=read-write"]
)
def test_a_database_url_may_name_several_hosts(url: str) -> None:
    """The driver reads the rest of it."""
    assert Settings(database_url=url).database_url == url


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a compose file leaves empty is one that is not set."""
    monkeypatch.setenv("TOLLHOUSE_BASE_URL", "")
    monkeypatch.setenv("TOLLHOUSE_PORT", "")
    assert Settings().public_url == "http://127.0.0.1:8080"


def test_live_never_approves_everything() -> None:
    """The acquirer that approves everything is refused in live, by the settings and where it would be made."""
    assert isinstance(build_acquirer(Settings(acquirer="approving"), HttpTransport("")), ApprovingAcquirer)
    with pytest.raises(ValidationError, match="stage only"):
        Settings(environment="live", acquirer="approving")
    unchecked = Settings.model_construct(environment="live", acquirer="approving")
    with pytest.raises(InternalError):
        build_acquirer(unchecked, HttpTransport(""))
