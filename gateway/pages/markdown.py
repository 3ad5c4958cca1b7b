"""Markdown to the site's HTML: its code blocks with tabs and copying, tables and headings."""

import re
from collections.abc import Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from gateway.templatetags import ui

_TITLES = {"curl": "curl", "python": "Python", "node": "Node"}


class _Renderer(RendererHTML):
    """Tables scroll inside of a card, so that a phone's page does not. No inline styles: alignment
    is a class, since the page's policy forbids them."""

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        language, _, rest = tokens[idx].info.strip().partition(" ")
        if rest != "tab":
            return ui.code_block(tokens[idx].content, language)
        return self._tabs(tokens, idx, env)

    def _tabs(self, tokens: Sequence[Token], idx: int, env: Any) -> str:
        """Neighbouring blocks marked `tab` become one with a choice of language."""
        if idx and _is_tab(tokens[idx - 1]):
            return ""  # shown with the first
        blocks = []
        while idx < len(tokens) and _is_tab(tokens[idx]):
            language = tokens[idx].info.split()[0]
            block = ui.code_block(tokens[idx].content, language)
            blocks.append({"value": language, "title": _TITLES[language], "block": block})
            idx += 1
        env["tabs"] = env.get("tabs", 0) + 1
        return render_to_string("parts/_tabs.html", {"blocks": blocks, "name": env["tabs"]})

    def table_open(self, *_: Any) -> str:
        return '<div class="card"><div class="table-wrap" tabindex="0"><table class="table">'

    def table_close(self, *_: Any) -> str:
        return "</table></div></div>"

    def thead_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """A head without a word is for Markdown's sake only."""
        end = next(i for i in range(idx, len(tokens)) if tokens[i].type == "thead_close")
        is_empty = not any(one.content for one in tokens[idx:end] if one.type == "inline")
        return "<thead hidden>" if is_empty else "<thead>"

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<th scope="col" class="num">' if tokens[idx].attrs else '<th scope="col">'

    def td_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<td class="num">' if tokens[idx].attrs else "<td>"

    def bullet_list_open(self, *_: Any) -> str:
        return '<ul class="list">'

    def heading_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        tag, name = tokens[idx].tag, anchor(tokens[idx + 1].content)
        return f'<{tag} id="{name}">' + (f'<a href="#{name}">' if tag != "h1" else "")

    def heading_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        tag = tokens[idx].tag
        return ("</a>" if tag != "h1" else "") + f"</{tag}>"


_parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")


def render(text: str) -> SafeString:
    """HTML of trusted or untrusted Markdown: HTML inside of it is shown, not obeyed."""
    html: str = _parser.render(text)
    return mark_safe(html)


def anchor(heading: str) -> str:
    return slugify(heading, allow_unicode=True)


def headings(text: str) -> list[tuple[str, str]]:
    """Anchor and words of each second-level heading."""
    found = re.findall(r"^## (.+)$", text, re.MULTILINE)
    return [(anchor(words), words) for words in found]


def plain(text: str) -> str:
    """The words alone, for searching and for excerpts."""
    text = re.sub(r"{{ \w+ }}", "…", text)
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[#|`*]|^-+$", " ", text)


def _is_tab(token: Token) -> bool:
    return token.type == "fence" and token.info.endswith(" tab")
