"""What is done on a page before it is looked at."""

from __future__ import annotations

import secrets
from typing import Any

ANSWER_MS = 20_000
TALK = "What is a race condition? Show one in Python."
THOUGHT = "They want a short definition, and then the smallest program in which two threads meet."
SAID = """A **race condition** is a bug whose outcome depends on which of two things happens first.

```python
from threading import Thread

count = 0

def add():
    global count
    for _ in range(100_000):
        count += 1  # read, add, write: three steps

threads = [Thread(target=add) for _ in range(2)]
```

Two threads may both read `41`, and both write `42`. To mend it:

1. Hold a `Lock` around the three steps.
2. Or give each thread a count of its own, and add them up at the end.
"""


def act(tab: Any, what: str, facts: dict[str, Any]) -> None:
    """`what` is the name of one of the functions below, with its words apart."""
    if what:
        _ACTS[what](tab, facts)


def sign_in(tab: Any, url: str, email: str, password: str) -> None:
    tab.goto(f"{url}/accounts/login/")
    _enter(tab, email, password)
    tab.wait_for_url(lambda now: "/accounts/login" not in now)


def sign_in_as(tab: Any, url: str, who: str, facts: dict[str, Any]) -> None:
    """Somebody of the scenes, with the second step where they have one."""
    sign_in(tab, url, facts[who], facts["password"])
    if who == "guarded":
        tab.fill("[name=code]", facts["codes"].pop())
        tab.click("form:has([name=code]) .button-primary")
        tab.wait_for_url(lambda now: "/accounts/code" not in now)


def _enter(tab: Any, email: str, password: str) -> None:
    tab.fill("[name=login]", email)
    tab.fill("[name=password]", password)
    tab.click("form .button-primary")


def _menu(tab: Any, _facts: dict[str, Any]) -> None:
    tab.click(".rail-foot summary")


def _switch(tab: Any, _facts: dict[str, Any]) -> None:
    tab.click(".rail-top summary")


def _chart(tab: Any, _facts: dict[str, Any]) -> None:
    tab.focus(".chart-plot")
    for _ in range(4):
        tab.keyboard.press("ArrowLeft")


def _tables(tab: Any, _facts: dict[str, Any]) -> None:
    """Everything folded is open."""
    tab.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")


def _talk(tab: Any, _facts: dict[str, Any]) -> None:
    tab.fill("[name=prompt]", TALK)
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("[data-charge]", timeout=ANSWER_MS)


def _refused(tab: Any, _facts: dict[str, Any]) -> None:
    tab.fill("[name=prompt]", TALK)
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector(".turn .note", timeout=ANSWER_MS)


def _code(tab: Any, _facts: dict[str, Any]) -> None:
    tab.click("[data-show-code]")


def _limits(tab: Any, _facts: dict[str, Any]) -> None:
    tab.click(".disclosure summary")


def _sign_up(tab: Any, _facts: dict[str, Any]) -> None:
    tab.fill("[name=email]", f"{secrets.token_hex(4)}@example.com")
    tab.fill("[name=password1]", secrets.token_urlsafe(12))
    tab.click("form .button-primary")
    tab.wait_for_selector("[data-secret]")


def _confirm(tab: Any, facts: dict[str, Any]) -> None:
    """The password again, where it is asked for."""
    if tab.locator(".account-nav").count():
        return
    if tab.locator("[name=password]").count():
        tab.fill("[name=password]", facts["password"])
    else:
        tab.fill("[name=code]", facts["codes"].pop())
    tab.click("main form .button-primary")
    tab.wait_for_selector(".account-nav")


def _second_step(tab: Any, facts: dict[str, Any]) -> None:
    _enter(tab, facts["guarded"], facts["password"])
    tab.wait_for_selector("[name=code]")


def _send(tab: Any, _facts: dict[str, Any]) -> None:
    """The page's form, as it is: the server says what is wrong with it."""
    with tab.expect_navigation():
        tab.evaluate(
            "() => { const form = document.querySelector('main form[method=post]');"
            " form.noValidate = true; form.requestSubmit(); }"
        )
    tab.wait_for_selector(".errors, .error, [aria-invalid=true], .note-bad")


def _too_little(tab: Any, facts: dict[str, Any]) -> None:
    tab.fill("[name=amount]", "1")
    _send(tab, facts)


def _price(tab: Any, _facts: dict[str, Any]) -> None:
    for name in ("input", "cached_input", "output", "reasoning_output"):
        tab.fill(f"[name=rates-0-{name}_nanos]", "0.40")
    tab.click("[name=_save]")
    tab.wait_for_selector("[name=_confirmed]")


def _impersonate(tab: Any, _facts: dict[str, Any]) -> None:
    tab.click("form[action*=impersonate] button")
    tab.goto(tab.url.partition("/admin/")[0].removesuffix("/overview") + "/overview")
    tab.wait_for_selector(".impersonation")


def _create(tab: Any, _facts: dict[str, Any]) -> None:
    tab.fill("[name=name]", "Nightly evaluation")
    tab.click("form .button-primary")
    tab.wait_for_selector("[data-secret]")


def _endpoint(tab: Any, _facts: dict[str, Any]) -> None:
    tab.fill("[name=url]", "https://8.8.8.8/hooks")
    tab.click("form .button-primary")
    tab.wait_for_selector("[data-secret]")


_ACTS = {
    "menu": _menu,
    "switch": _switch,
    "chart": _chart,
    "tables": _tables,
    "talk": _talk,
    "refused": _refused,
    "code": _code,
    "limits": _limits,
    "sign up": _sign_up,
    "confirm": _confirm,
    "second step": _second_step,
    "send": _send,
    "too little": _too_little,
    "price": _price,
    "impersonate": _impersonate,
    "create": _create,
    "endpoint": _endpoint,
}
