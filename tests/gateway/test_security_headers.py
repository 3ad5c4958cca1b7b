"""What every page tells the browser to refuse, under the settings production starts with."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from tests import factories
from tests.config.test_production import GOOD
from tests.gateway.routes import addresses
from tests.stack import PROJECT

NAMES = ("SECURE_HSTS_SECONDS", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE",
         "SECURE_SSL_REDIRECT", "SESSION_COOKIE_HTTPONLY", "CSRF_COOKIE_HTTPONLY",
         "SESSION_COOKIE_SAMESITE", "CSRF_COOKIE_SAMESITE")  # fmt: skip


@pytest.fixture(scope="module")
def production() -> dict[str, Any]:
    """Django's settings as production has them, from a process of its own."""
    program = (
        "import json; from django.conf import settings;"
        f"print(json.dumps({{name: getattr(settings, name) for name in {NAMES!r}}}))"
    )
    environment = {**os.environ, **GOOD, "DJANGO_SETTINGS_MODULE": "config.settings.production"}
    environment.pop("DEBUG", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROJECT, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    return dict(json.loads(done.stdout))


@pytest.fixture
def pages(db: None, settings: Any, production: dict[str, Any]) -> Client:
    for name, value in production.items():
        setattr(settings, name, value)
    cache.clear()
    return Client(raise_request_exception=False)


def test_production_sends_plain_http_to_https(pages: Client) -> None:
    answer = pages.get("/docs")
    assert answer.status_code == 301
    assert answer.headers["Location"].startswith("https://")


@pytest.mark.parametrize("who", ["nobody", "alice"])
def test_every_page_and_every_error_page_carries_the_same_headers(pages: Client, who: str) -> None:
    if who == "alice":
        pages.force_login(factories.cast().alice)
    paths = [*addresses({"pk": ["7"], "slug": ["pro"]}), "/nowhere", "/keys/nothing"]
    assert len(paths) > 60
    for path in paths:
        headers = pages.get(path, secure=True).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin", path
        assert headers["Strict-Transport-Security"] == "max-age=31536000", path
        policy = dict(
            part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
        )
        assert policy["frame-ancestors"] == policy["object-src"] == "'none'", path
        assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"


def test_cookies_are_for_https_for_the_server_and_for_this_site_alone(pages: Client) -> None:
    pages.get("/accounts/login/", secure=True)
    pages.force_login(factories.cast().alice)
    pages.get("/overview", secure=True)
    assert {"sessionid", "csrftoken"} <= pages.cookies.keys()
    form = {"theme": "dark", "next": "/"}
    pages.post("/theme", form, secure=True, headers={"referer": "https://testserver/"})
    for name in ("csrftoken", "theme"):
        assert pages.cookies[name]["secure"], name
        assert pages.cookies[name]["samesite"] == "Lax", name
    assert pages.cookies["csrftoken"]["httponly"]


def test_the_session_cookie_of_a_sign_in_is_secure(pages: Client) -> None:
    factories.cast()
    form = {"login": "alice@example.com", "password": factories.PASSWORD}
    pages.post("/accounts/login/", form, secure=True)
    session = pages.cookies["sessionid"]
    assert session["secure"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
