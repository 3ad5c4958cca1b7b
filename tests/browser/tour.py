"""Every page in every look, as fast as the machine allows: browsers side by side, and a page that
is opened once a width only changes its theme in place."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, sync_playwright
from playwright.sync_api import Page as Tab

from config.launcher.tools import find_chromium
from tests.browser import acts

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = {"desktop": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
LANGUAGES = ("en", "zh-hans")
LANES = 2
PAGE_MS = 30_000


@dataclass(frozen=True)
class Page:
    name: str
    path: str
    who: str = ""  # one of the scenes' people, or nobody
    full: bool = True  # a picture of all of it, not of the first screen
    act: str = ""  # what is done there first
    is_alone: bool = False  # changes its session: it gets one of its own


@dataclass(frozen=True)
class Look:
    width: str
    theme: str
    language: str

    @property
    def scheme(self) -> Literal["light", "dark"]:
        return "dark" if self.theme == "dark" else "light"

    def __str__(self) -> str:
        return f"{self.width}-{self.theme}-{self.language}"


@dataclass(frozen=True)
class Stop:
    """A page that is opened once, for all its themes."""

    language: str
    who: str
    page: Page
    width: str

    def may_follow(self, before: Stop) -> bool:
        """In the same browser context: nothing of the one before can be seen in this."""
        together = (self.language, self.who) == (before.language, before.who)
        return together and not self.page.is_alone and not before.page.is_alone


EVERY = [Look(*parts) for parts in itertools.product(WIDTHS, THEMES, LANGUAGES)]
# A page in one pair of these is seen in each theme, width and language once.
COVERING = (
    (Look("desktop", "light", "en"), Look("phone", "dark", "zh-hans")),
    (Look("desktop", "dark", "zh-hans"), Look("phone", "light", "en")),
)
# Is given the open page in one look. What it raises is told with the page's name.
Seen = Callable[[Tab, Page, Look], None]


@dataclass(frozen=True)
class Tour:
    """Through a running product: `facts` fill the addresses and say who people are."""

    url: str
    facts: dict[str, Any]
    seen: Seen

    def walk(self, visits: Iterable[tuple[Page, Look]]) -> list[str]:
        """All of them, and what went wrong there: an exception, or words on the console."""
        stops: dict[Stop, list[Look]] = {}
        for page, look in visits:
            stops.setdefault(Stop(look.language, page.who, page, look.width), []).append(look)
        rest = deque(sorted(stops.items(), key=lambda stop: (stop[0].language, stop[0].who)))
        troubles: list[str] = []
        # Playwright wants threads of its own, where no event loop runs yet.
        with ThreadPoolExecutor(LANES) as lanes:
            people = {stop.who for stop in stops} - {""}
            states = lanes.submit(self._sign_in, people).result()
            for lane in [lanes.submit(self._lane, rest, states) for _ in range(LANES)]:
                troubles += lane.result()
        return troubles

    def _sign_in(self, people: set[str]) -> dict[str, Any]:
        states: dict[str, Any] = {}
        with launched() as browser:
            for who in people:
                context = browser.new_context()
                acts.sign_in_as(context.new_page(), self.url, who, self.facts)
                states[who] = context.storage_state()
                context.close()
        return states

    def _lane(self, rest: deque[tuple[Stop, list[Look]]], states: dict[str, Any]) -> list[str]:
        troubles: list[str] = []
        tab, before = None, None
        with launched() as browser:
            while rest:
                try:
                    stop, looks = rest.popleft()
                except IndexError:  # the other lane was faster
                    break
                if tab is None or before is None or not stop.may_follow(before):
                    if tab is not None:
                        tab.context.close()
                    tab = self._open(browser, stop, states)
                troubles += self._visit(tab, stop.page, looks)
                before = stop
        return troubles

    def _open(self, browser: Browser, stop: Stop, states: dict[str, Any]) -> Tab:
        state = None if stop.page.is_alone else states.get(stop.who)
        context = browser.new_context(
            storage_state=state, locale=stop.language, reduced_motion="reduce"
        )
        context.set_default_timeout(PAGE_MS)
        papers = self.facts["papers"][stop.language]
        context.route(
            f"{self.url}/paper/*",
            lambda route: route.fulfill(
                body=papers[route.request.url.rpartition("/")[2]], content_type="text/html"
            ),
        )
        tab = context.new_page()
        if stop.page.is_alone and stop.who:
            acts.sign_in_as(tab, self.url, stop.who, self.facts)
        return tab

    def _visit(self, tab: Tab, page: Page, looks: list[Look]) -> list[str]:
        """One page in its themes, with the console listened to."""
        troubles: list[str] = []

        def note(message: ConsoleMessage) -> None:
            # A page that is an error says its status there.
            if not message.text.startswith("Failed to load resource"):
                troubles.append(f"{page.name} {looks[0]}: the console says {message.text}")

        tab.on("console", note)
        try:
            self._look(tab, page, looks)
        except Exception as error:  # the tour goes on; the caller decides
            troubles.append(f"{page.name} {looks[0]}: {error}")
        tab.remove_listener("console", note)
        return troubles

    def _look(self, tab: Tab, page: Page, looks: list[Look]) -> None:
        width, height = WIDTHS[looks[0].width]
        tab.set_viewport_size({"width": width, "height": height})
        tab.emulate_media(color_scheme=looks[0].scheme)
        tab.goto(self.url + page.path.format(**self.facts))
        acts.act(tab, page.act, self.facts)
        tab.wait_for_load_state()  # of where that led to: its styles too
        for look in looks:
            tab.emulate_media(color_scheme=look.scheme)
            self.seen(tab, page, look)


@contextmanager
def launched() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        yield browser
        browser.close()
