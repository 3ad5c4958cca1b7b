"""/docs: the documentation as pages, as Markdown, as llms.txt, and searchable."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from billing.models import Plan
from billing.templatetags import figures
from gateway.context import base_url
from gateway.pages import documentation, markdown, price_list, reference, reference_text
from gateway.pages.documentation import Page

# Stands in the page for what `gateway.pages.reference` makes.
_REFERENCE = "api_reference"
MARKDOWN = "text/markdown; charset=utf-8"


def page(request: HttpRequest, slug: str = documentation.SLUGS[0]) -> HttpResponse:
    found = _load(slug)
    values, stand_ins = _values(request)
    before, after = documentation.neighbours(found)
    text = found.filled(values | {_REFERENCE: ""})
    own: dict[str, object] = {}
    if f"{{{{ {_REFERENCE} }}}}" in found.text:
        own = _reference(values)
    return render(
        request,
        "docs/page.html",
        {
            "page": found,
            "content": markdown.render(text),
            "headings": markdown.headings(text),
            **own,
            "before": before,
            "after": after,
            "stand_ins": stand_ins if slug in ("introduction", "models") else [],
            **_navigation(),
        },
    )


def source(request: HttpRequest, slug: str) -> HttpResponse:
    """The page as the Markdown it is written in, for people and for language models."""
    values, _stand_ins = _values(request)
    return HttpResponse(_load(slug).filled(values), content_type=MARKDOWN)


def search(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip()
    values, _stand_ins = _values(request)
    hits = documentation.search(query, _language(), values)
    return render(request, "docs/search.html", {"query": query, "hits": hits, **_navigation()})


def llms(request: HttpRequest) -> HttpResponse:
    """An index of the documentation for language models, after llmstxt.org."""
    origin = request.build_absolute_uri("/").rstrip("/")
    lines = ["# ttonkapi", "", f"> {_plain_lead(documentation.load('introduction', 'en'))}", ""]
    for title, slugs in documentation.SECTIONS:
        lines += [f"## {title}", ""]
        for slug in slugs:
            one = documentation.load(slug, "en")
            lines.append(f"- [{one.title}]({origin}{one.source_path}): {_plain_lead(one)}")
        lines.append("")
    return HttpResponse("\n".join(lines), content_type=MARKDOWN)


def llms_full(request: HttpRequest) -> HttpResponse:
    """Every page, one after the other."""
    with override("en"):
        values, _stand_ins = _values(request)
        texts = [one.filled(values) for one in documentation.pages("en")]
    return HttpResponse("\n\n".join(texts), content_type=MARKDOWN)


def _reference(values: dict[str, str]) -> dict[str, object]:
    """The API reference as HTML has it: richer than its Markdown, of the same facts."""
    endpoints = reference.endpoints()
    headings = [(one.name, one.title) for one in endpoints]
    return {
        "endpoints": endpoints,
        "error": reference.error(),
        "headings": [*headings, ("errors", _("Errors"))],
        "base_url": values["base_url"],
        "example_model": values["example_model"],
    }


def _load(slug: str) -> Page:
    try:
        return documentation.load(slug, _language())
    except KeyError:
        raise Http404(slug) from None


def _language() -> str:
    return get_language() or documentation.FALLBACK


def _plain_lead(one: Page) -> str:
    return " ".join(markdown.plain(one.lead).split())


def _navigation() -> dict[str, object]:
    language = _language()
    return {
        "sections": [
            (title, [documentation.load(slug, language) for slug in slugs])
            for title, slugs in documentation.SECTIONS
        ]
    }


def _values(request: HttpRequest) -> tuple[dict[str, str], list[str]]:
    """What the pages' names stand for, and the models that a local stand-in answers."""
    models = price_list.listings()
    values = {
        "base_url": base_url(request),
        "example_model": price_list.example_model([one.name for one in models]),
        "models_table": _models_table(models),
        "plans_table": _plans_table(),
    }
    values[_REFERENCE] = reference_text.markdown(
        _language(), values["base_url"], values["example_model"]
    )
    return values, [one.name for one in models if one.is_stand_in]


def _models_table(models: list[price_list.Listing]) -> str:
    rows = []
    for model in models:
        for tariff in model.tariffs:
            output = figures.money(tariff.output_nanos)
            if tariff.reasoning_output_nanos != tariff.output_nanos:
                thinking = figures.money(tariff.reasoning_output_nanos)
                output += " " + _("(thinking %(price)s)") % {"price": thinking}
            name = f"`{model.name}`" + (f" {tariff.when}" if tariff.when else "")
            rows.append(
                [name, figures.tokens(model.context_tokens), figures.money(tariff.input_nanos),
                 figures.money(tariff.cached_input_nanos), output]
            )  # fmt: skip
    heads = [_("Model"), _("Context"), _("Input"), _("Cached input"), _("Output")]
    return _table(heads, rows)


def _plans_table() -> str:
    rows = [
        [plan.name, figures.limit(plan.requests_per_minute), figures.limit(plan.tokens_per_minute),
         figures.money(plan.fee_nanos_per_month)]
        for plan in Plan.objects.filter(is_public=True)
    ]  # fmt: skip
    return _table([_("Plan"), _("Requests/min"), _("Tokens/min"), _("Per month")], rows)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """All columns but the first are figures."""
    lines = [heads, ["---"] + ["--:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
