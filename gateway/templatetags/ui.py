"""What templates draw with: icons, code blocks with tabs and copying, and current links."""

import re
from typing import Any

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_noop

register = template.Library()

# 16 x 16, stroked; drawn for this product.
_ICONS = {
    "overview": '<rect x="2.25" y="2.25" width="4.5" height="4.5" rx="1"/>'
    '<rect x="9.25" y="2.25" width="4.5" height="4.5" rx="1"/>'
    '<rect x="2.25" y="9.25" width="4.5" height="4.5" rx="1"/>'
    '<rect x="9.25" y="9.25" width="4.5" height="4.5" rx="1"/>',
    "key": '<circle cx="5" cy="11" r="2.75"/><path d="m7 9 6-6M10.5 5.5l2 2"/>',
    "usage": '<path d="M2 13.5h12M3.5 11V8.5M8 11V3M12.5 11V6"/>',
    "requests": '<path d="M2.5 4h11M2.5 8h11M2.5 12h7"/>',
    "billing": '<rect x="1.75" y="3.25" width="12.5" height="9.5" rx="1.5"/>'
    '<path d="M1.75 6.5h12.5M4.5 10h2"/>',
    "docs": '<path d="M8 4C6.5 2.8 4.2 2.7 2 3v9.5c2.2-.3 4.5-.2 6 1 1.5-1.2 3.8-1.3 6-1V3'
    'c-2.2-.3-4.5-.2-6 1Zm0 0v9.5"/>',
    "copy": '<rect x="5.25" y="5.25" width="8" height="8.5" rx="1.25"/>'
    '<path d="M10.75 5.25v-1.5c0-.7-.55-1.25-1.25-1.25H4c-.7 0-1.25.55-1.25 1.25v6'
    'c0 .7.55 1.25 1.25 1.25h1.25"/>',
    "check": '<path d="m3 8.5 3.5 3.5L13 4.5"/>',
    "chevrons": '<path d="m5 6 3-3 3 3M5 10l3 3 3-3"/>',
    "chevron": '<path d="m4 6 4 4 4-4"/>',
    "right": '<path d="m6 3.5 4.5 4.5L6 12.5"/>',
    "left": '<path d="M10 3.5 5.5 8l4.5 4.5"/>',
    "arrow": '<path d="M3 8h10M9 4l4 4-4 4"/>',
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "search": '<circle cx="7" cy="7" r="4.25"/><path d="m10.2 10.2 3.3 3.3"/>',
    "user": '<circle cx="8" cy="5.25" r="2.75"/><path d="M2.75 14c.4-3 2.5-4.5 5.25-4.5'
    's4.85 1.5 5.25 4.5"/>',
    "theme": '<circle cx="8" cy="8" r="5.5"/><path d="M8 2.5v11a5.5 5.5 0 0 0 0-11Z" '
    'fill="currentColor"/>',
    "out": '<path d="M6.5 2.5H4c-.8 0-1.5.7-1.5 1.5v8c0 .8.7 1.5 1.5 1.5h2.5'
    'M10.5 5 13.5 8l-3 3M13 8H6.5"/>',
    "warning": '<path d="M8 2.5 14.5 13.5h-13L8 2.5ZM8 6.5v3.25M8 11.75v.01"/>',
    "info": '<circle cx="8" cy="8" r="6"/><path d="M8 7.25v4M8 4.75v.01"/>',
    "bolt": '<path d="M9 1.5 3 9.25h4.25L7 14.5l6-7.75H8.75L9 1.5Z"/>',
    "shield": '<path d="M8 1.75 2.75 3.5v4c0 3.3 2.2 5.7 5.25 6.75 3.05-1.05 5.25-3.45'
    ' 5.25-6.75v-4L8 1.75ZM5.5 8l1.75 1.75L10.75 6"/>',
    "receipt": '<path d="M3.5 1.75v12.5l1.5-1 1.5 1 1.5-1 1.5 1 1.5-1 1.5 1V1.75'
    'l-1.5 1-1.5-1-1.5 1-1.5-1-1.5 1-1.5-1ZM6 6h4M6 9h4"/>',
    "mail": '<rect x="1.75" y="3.25" width="12.5" height="9.5" rx="1.5"/>'
    '<path d="m2.25 4.5 5.75 4.5 5.75-4.5"/>',
    "lock": '<rect x="3" y="7" width="10" height="6.75" rx="1.5"/>'
    '<path d="M5.25 7V5a2.75 2.75 0 0 1 5.5 0v2"/>',
    "device": '<rect x="2.75" y="3" width="10.5" height="7.5" rx="1.25"/><path d="M1.5 13h13"/>',
    "download": '<path d="M8 2.5v7.5M4.75 7 8 10.25 11.25 7M2.75 13.25h10.5"/>',
    "pause": '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
    "play": '<path d="M5 3.25v9.5L12.5 8 5 3.25Z"/>',
    "playground": '<path d="M2.5 3.75c0-.7.55-1.25 1.25-1.25h8.5c.7 0 1.25.55 1.25 1.25v6c0 .7-.55'
    ' 1.25-1.25 1.25H7l-3.25 2.75V11c-.7 0-1.25-.55-1.25-1.25v-6Z"/><path d="m6 5.25-1.5 1.5L6 8.25'
    'M8.5 8.25h2.5"/>',
    "models": '<path d="M8 1.75 14 5 8 8.25 2 5l6-3.25Z"/><path d="m2 8 6 3.25L14 8'
    'M2 11l6 3.25L14 11"/>',
    "status": '<path d="M1.5 8.25h3L6.25 3.5l3.5 9 1.75-4.25h3"/>',
    "code": '<path d="m5.5 4.5-3.5 3.5 3.5 3.5M10.5 4.5 14 8l-3.5 3.5"/>',
    "stop": '<rect x="4" y="4" width="8" height="8" rx="1" fill="currentColor"/>',
    "settings": '<path d="M2.5 4.5h5.75M12.25 4.5h1.25M2.5 11.5h1.25M7.75 11.5h5.75"/>'
    '<circle cx="10.25" cy="4.5" r="2"/><circle cx="5.75" cy="11.5" r="2"/>',
    "people": '<circle cx="6" cy="5.25" r="2.5"/><path d="M1.5 13.5c.3-2.8 2-4.25 4.5-4.25s4.2 1.45'
    ' 4.5 4.25M10.75 3a2.4 2.4 0 0 1 0 4.5M12 9.6c1.45.6 2.3 1.9 2.5 3.9"/>',
    "folder": '<path d="M1.75 12V4c0-.4.35-.75.75-.75h3.25L7.25 5h6.25c.4 0 .75.35.75.75V12'
    'c0 .4-.35.75-.75.75h-11c-.4 0-.75-.35-.75-.75Z"/>',
    "menu": '<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11"/>',
}


@register.simple_tag
def icon(name: str, size: int = 16) -> SafeString:
    return format_html(
        '<svg class="icon" width="{0}" height="{0}" viewBox="0 0 16 16" fill="none" '
        'stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" '
        'aria-hidden="true" focusable="false">{1}</svg>',
        size,
        mark_safe(_ICONS[name]),
    )


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], *names: str) -> str:
    """` aria-current="page"` where the page shown has one of these URL names."""
    match = getattr(context.get("request"), "resolver_match", None)
    return mark_safe(' aria-current="page"') if match and match.url_name in names else ""


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """This page's query string with `changes`; an empty value removes the name."""
    params = context["request"].GET.copy()
    for name, value in changes.items():
        params.pop(name, None)
        if value not in (None, ""):
            params[name] = str(value)
    encoded = params.urlencode()
    return f"?{encoded}" if encoded else "?"


@register.simple_tag(takes_context=True)
def narrow(context: dict[str, Any], name: str, value: Any) -> str:
    """This page's query string with a filter whose name is only known to the view."""
    return query(context, **{name: value})


@register.simple_tag(takes_context=True)
def chip_off(context: dict[str, Any], name: str) -> str:
    """This page's query string without the filter of this name."""
    return query(context, **{name: ""})


_KEYWORDS = {
    "python": r"\b(?:import|from|for|in|if|print|as|with|def|return|True|False|None)\b",
    "node": r"\b(?:import|from|const|await|for|of|new|process|console|true|false|null)\b",
    "curl": r"(?<![\w-])(?:curl|export)\b|(?<=\s)-[A-Za-z]\b",
    "json": r"\b(?:true|false|null)\b",
    "text": r"(?!)",
}
_COMMENTS = {"python": r"#[^\n]*", "node": r"//[^\n]*", "curl": r"(?m:^#[^\n]*)"}
_STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`"


def highlight(text: str, language: str) -> SafeString:
    """Comments, strings and keywords wrapped in spans; everything escaped."""
    pattern = re.compile(
        f"(?P<c>{_COMMENTS.get(language, '(?!)')})|(?P<s>{_STRING})"
        f"|(?P<k>{_KEYWORDS.get(language, '(?!)')})"
    )
    out: list[str] = []
    end = 0
    for found in pattern.finditer(text):
        out.append(escape(text[end : found.start()]))
        out.append(f'<span class="hl-{found.lastgroup}">{escape(found[0])}</span>')
        end = found.end()
    out.append(escape(text[end:]))
    return mark_safe("".join(out))


@register.simple_block_tag
def code(content: str, language: str = "text", label: str = "") -> SafeString:
    """A code block with a copy button. The content is template text already escaped by Django."""
    from html import unescape

    return code_block(unescape(content), language, label)


def code_block(text: str, language: str = "text", label: str = "") -> SafeString:
    """Plain text as a code block with a copy button."""
    text = text.strip("\n")
    return format_html(
        '<figure class="code"><figcaption>{}</figcaption>{}<pre tabindex="0"><code>{}</code></pre>'
        "</figure>",
        label or {"curl": "Shell", "python": "Python", "node": "Node"}.get(language, ""),
        copy_button(),
        highlight(text, language),
    )


@register.simple_tag
def copy_button() -> SafeString:
    """Shown once JavaScript is there to make it work; copies the nearest code or its target."""
    return format_html(
        '<button type="button" class="copy" data-copy hidden aria-label="{0}" title="{0}" '
        'data-done="{1}">{2}{3}</button>',
        gettext("Copy"),
        gettext("Copied"),
        icon("copy"),
        icon("check"),
    )


# What gateway/probes.py notes, with its figures left open: it is stored in English.
_NOTES = (
    gettext_noop("no answer"),
    gettext_noop("%s %% of requests failed"),
    gettext_noop("%s of %s channels failing"),
)


@register.filter
def probe_note(note: str) -> str:
    """What a probe noted, in the reader's language."""
    words = gettext(re.sub(r"\d+", "%s", note.replace("%", "%%")))
    return words % tuple(re.findall(r"\d+", note))
