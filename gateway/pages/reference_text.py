"""The API reference as Markdown: for language models, and for searching."""

import functools
from collections.abc import Iterator

from django.utils.translation import gettext as _

from gateway.pages import reference, reference_examples
from gateway.pages.reference import Endpoint, Field, Shape

_KEPT = 32  # addresses a page is asked for by


@functools.lru_cache(maxsize=_KEPT)
def markdown(language: str, base_url: str, model: str) -> str:
    """Every endpoint, in the language that is active and named."""
    parts = ["\n".join(_endpoint(one, base_url, model)) for one in reference.endpoints()]
    error = reference.error()
    parts.append("\n".join([f"## {_('Errors')}", "", error.words, "", *_fields(error.fields)]))
    return "\n\n".join(parts)


def _endpoint(one: Endpoint, base_url: str, model: str) -> Iterator[str]:
    yield from (f"## {one.title}", "", f"`{one.method} {one.path}`", "", one.lead, "")
    for language, code in reference_examples.request(one.name, base_url, model):
        yield from (f"```{language} tab", code, "```", "")
    if one.parameters:
        yield from (f"### {_('In the address')}", "", *_fields(one.parameters), "")
    if one.body:
        yield from _shape(_("Body"), one.body)
    for shape in one.answers:
        yield from _shape(f"{_('Answer')}, {shape.media}", shape)
        example = reference_examples.answer(one.name, shape.media, model)
        if example:
            yield from ("```json", example, "```", "")
    yield from (f"### {_('Headers of the answer')}", "")
    yield from (*(f"- `{name}`: {words}" for name, words in one.headers), "")
    yield from (f"### {_('Errors')}", "", f"| HTTP | {_('What happened')} |", "|---|---|")
    yield from (f"| {status} | {words} |" for status, words in one.errors)


def _shape(title: str, shape: Shape) -> Iterator[str]:
    yield from (f"### {title}", "", shape.words, "", *_fields(shape.fields), "")


def _fields(fields: tuple[Field, ...], depth: int = 0) -> Iterator[str]:
    for field in fields:
        facts = [field.kind]
        if field.is_required:
            facts.append(f"**{_('required')}**")
        facts += field.limits
        if field.default:
            facts.append(_("default %(value)s") % {"value": field.default})
        yield f"{'  ' * depth}- `{field.name}` ({', '.join(facts)}): {field.words}"
        yield from _fields(field.fields, depth + 1)
