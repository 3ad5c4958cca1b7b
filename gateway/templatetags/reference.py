"""What the API reference's template draws with: examples of requests and answers."""

from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from gateway.pages import reference_examples
from gateway.templatetags import ui

register = template.Library()
_TITLES = {"curl": "curl", "python": "Python", "node": "Node"}


@register.simple_tag(takes_context=True)
def request_example(context: dict[str, Any], operation: str) -> SafeString:
    """One block of code with a choice of languages."""
    found = reference_examples.request(operation, context["base_url"], context["example_model"])
    blocks = [
        {"value": language, "title": _TITLES[language], "block": ui.code_block(code, language)}
        for language, code in found
    ]
    if not blocks:
        return SafeString()
    return render_to_string("parts/_tabs.html", {"blocks": blocks, "name": operation})


@register.simple_tag(takes_context=True)
def answer_example(context: dict[str, Any], operation: str, media: str) -> SafeString:
    text = reference_examples.answer(operation, media, context["example_model"])
    return ui.code_block(text, "json") if text else SafeString()
