"""A person at the pages, as a browser would be: cookies, forms, and what they show."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_SECRET = re.compile(r"data-secret>(ttonk_sk_[0-9A-Za-z]+)<")
_PROJECT = re.compile(r'<option value="(\d+)"')
PASSWORD = "correct horse battery staple"


@dataclass
class Member:
    """Someone signed up and signed in."""

    pages: httpx.Client
    email: str
    organization: str
    first_key: str

    def submit(self, path: str, **data: str | list[str]) -> httpx.Response:
        """Fill in the form at `path` and send it; the page it leads to."""
        return _submit(self.pages, path, data)

    def set_cap(self, usd: str) -> None:
        """On what the organization uses a month."""
        answer = _submit(self.pages, "/billing/limits", {"cap_nanos": usd}, "/billing/limits/cap")
        assert answer.status_code == 200, answer.text

    def read(self, path: str) -> str:
        return self.pages.get(path).text

    def make_key(self, name: str, **limits: str | list[str]) -> str:
        """A key from the page for it, with these limits."""
        form = self.pages.get("/keys/new").text
        project = _PROJECT.search(form)
        assert project, form
        made = self.submit("/keys/new", name=name, project=project[1], **limits)
        return secret_in(made.text)

    def revoke(self, key_id: int) -> None:
        assert self.submit(f"/keys/{key_id}/revoke").status_code == 200


def sign_up(base_url: str, email: str, organization: str) -> Member:
    """Through the real page, to the onboarding's first key."""
    pages = httpx.Client(base_url=base_url, follow_redirects=True, timeout=30, trust_env=False)
    welcome = _submit(
        pages,
        "/accounts/signup/",
        {"email": email, "password1": PASSWORD, "organization": organization},
    )
    assert welcome.url.path == "/welcome", welcome.text
    return Member(pages, email, organization, secret_in(welcome.text))


def secret_in(page: str) -> str:
    found = _SECRET.search(page)
    assert found, page
    return found[1]


def _submit(
    pages: httpx.Client, path: str, data: dict[str, str] | dict[str, str | list[str]], at: str = ""
) -> httpx.Response:
    form = pages.get(path)
    token = _TOKEN.search(form.text)
    assert token, f"{path} holds no form: {form.status_code}"
    return pages.post(at or path, data={"csrfmiddlewaretoken": token[1], **data})
