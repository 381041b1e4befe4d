"""The way from the checkout to the merchant."""

from __future__ import annotations

from tollhouse.checkout.http import redirect_to_merchant
from tollhouse.checkout.words import words_of


def test_a_shop_is_reached_by_a_redirect() -> None:
    """A URL of the web is a redirect, with its bytes as they are."""
    answer = redirect_to_merchant("https://shop.example/a%2Fb?x=1#y", words_of("en"))
    assert (answer.status, answer.headers["Location"]) == (303, "https://shop.example/a%2Fb?x=1#y")


def test_an_app_is_reached_by_a_link() -> None:
    """A URL of an app is a link on a page, because a browser stops a redirect from a form to it."""
    answer = redirect_to_merchant('com.shop.app://paid?x=1&y="', words_of("en"))
    assert (answer.status, "Location" in answer.headers) == (200, False)
    assert 'href="com.shop.app://paid?x=1&amp;y=&#34;"' in answer.body.decode()
    assert "form-action 'none'" in answer.headers["Content-Security-Policy"]
