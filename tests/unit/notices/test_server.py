"""The address of the mail server, and the retry schedule of emails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from tollhouse.composition.choices import build_mail_transport
from tollhouse.composition.settings import Settings
from tollhouse.notices.send import DELAYS, choose_retry
from tollhouse.notices.smtp import SmtpTransport
from tollhouse.notices.transport import RecordingMailTransport, Security, Server, parse_server


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://mail.example", Server("mail.example", 465, Security.TLS, None, None)),
        ("smtp://u%40x:p%2Fw@mail.example", Server("mail.example", 587, Security.START_TLS, "u@x", "p/w")),
        ("smtp+plain://127.0.0.1:2525", Server("127.0.0.1", 2525, Security.NONE, None, None)),
        ("smtp://[::1]:25/", Server("::1", 25, Security.START_TLS, None, None)),
    ],
)
def test_scheme_decides_port_and_encryption(url: str, server: Server) -> None:
    """Each scheme has its port and its encryption, and none falls back to another."""
    assert parse_server(url) == server
    assert "p/w" not in repr(parse_server(url))


@pytest.mark.parametrize(
    "url", ["mail.example", "http://mail.example", "smtp://", "smtp://a:b", "smtp://a/b", "smtp://a?tls=no"]
)
def test_invalid_server_url_is_rejected(url: str) -> None:
    """Any other URL is rejected at the start, without repeating its password."""
    with pytest.raises(ValueError, match="must ") as refused:
        parse_server(url)
    assert url not in str(refused.value)


def test_settings_say_who_carries() -> None:
    """A server needs a sender; without one stage shows letters and live writes none."""
    full = Settings.model_validate(
        {"smtp_url": "smtp://mail.example", "smtp_from": "a@b.example", "environment": "live"}
    )
    assert isinstance(build_mail_transport(full), SmtpTransport)
    assert isinstance(build_mail_transport(Settings()), RecordingMailTransport)
    assert build_mail_transport(Settings(environment="live")) is None
    for wrong in ({"smtp_url": "smtp://mail.example"}, {"smtp_url": "mail"}, {"smtp_from": "a\n@b.example"}):
        with pytest.raises(ValidationError):
            Settings.model_validate(wrong)


def test_letters_are_given_up_after_two_days() -> None:
    """The pauses grow, and add up to about two days."""
    delays = [choose_retry(attempts) for attempts in range(1, len(DELAYS) + 2)]
    assert delays[0] == timedelta(minutes=1)
    assert delays[-1] is None
    assert list(DELAYS) == sorted(DELAYS)
    assert timedelta(days=1) < sum(DELAYS, timedelta()) < timedelta(days=3)
