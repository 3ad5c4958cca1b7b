"""The customer's documentation: Markdown files in docs/pages/, one folder per language.

A page is written once, and served as HTML, as the Markdown it is, and in /llms.txt. What depends
on this installation (address, models, plans) stands in it as `{{ name }}`.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from gateway.pages import markdown

FOLDER = Path(settings.BASE_DIR) / "docs" / "pages"
FALLBACK = "en"
SECTIONS = (
    (_("Start"), ("introduction", "authentication", "sdks", "integrations",
                  "organizations")),
    (_("API"), ("chat-completions", "streaming", "models", "errors", "rate-limits", "images",
                "api-reference")),
    (_("Money"), ("billing", "webhooks")),
    (_("Account"), ("account",)),
)  # fmt: skip
SLUGS = tuple(slug for _title, slugs in SECTIONS for slug in slugs)
QUERY_CHARACTERS_MAX = 100
_EXCERPT_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class Page:
    """One page in one language, before its values are filled in."""

    slug: str
    language: str
    title: str
    lead: str
    text: str

    @property
    def path(self) -> str:
        return "/docs" if self.slug == SLUGS[0] else f"/docs/{self.slug}"

    @property
    def source_path(self) -> str:
        return f"/docs/{self.slug}.md"

    def filled(self, values: Mapping[str, str]) -> str:
        """The page's Markdown for this installation. An unknown name is a mistake: KeyError."""
        return re.sub(r"{{ (\w+) }}", lambda found: values[found[1]], self.text)


@dataclass(frozen=True, slots=True)
class Hit:
    page: Page
    excerpt: str


@functools.cache
def load(slug: str, language: str) -> Page:
    """Raises KeyError where there is no such page. A page not yet translated is in English."""
    if slug not in SLUGS:
        raise KeyError(slug)
    path = FOLDER / language / f"{slug}.md"
    if not path.exists():
        language, path = FALLBACK, FOLDER / FALLBACK / f"{slug}.md"
    text = path.read_text(encoding="utf-8")
    title, lead = text.split("\n\n", 2)[:2]
    return Page(slug, language, title.removeprefix("# ").strip(), lead.strip(), text)


def pages(language: str) -> list[Page]:
    """All of them, in reading order."""
    return [load(slug, language) for slug in SLUGS]


def neighbours(page: Page) -> tuple[Page | None, Page | None]:
    """The pages before and after, in reading order."""
    place = SLUGS.index(page.slug)
    before = load(SLUGS[place - 1], page.language) if place else None
    after = load(SLUGS[place + 1], page.language) if place + 1 < len(SLUGS) else None
    return before, after


def search(query: str, language: str, values: Mapping[str, str]) -> list[Hit]:
    """Pages that contain every word once filled, those with a word in their title first."""
    words = query[:QUERY_CHARACTERS_MAX].casefold().split()
    if not words:
        return []
    hits = [hit for page in pages(language) for hit in _hits(page, words, values)]
    return sorted(hits, key=lambda hit: -sum(word in hit.page.title.casefold() for word in words))


def _hits(page: Page, words: list[str], values: Mapping[str, str]) -> Iterator[Hit]:
    text = " ".join(markdown.plain(page.filled(values)).split())
    folded = text.casefold()
    places = [folded.find(word) for word in words]
    if min(places) >= 0:
        begin = max(min(places) - 40, 0)
        lead = "…" if begin else ""
        yield Hit(page, f"{lead}{text[begin : begin + _EXCERPT_CHARACTERS].strip()}…")
