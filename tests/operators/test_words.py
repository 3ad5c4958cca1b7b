"""Tables, columns and every text of the operator's pages have words in both languages."""

from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.contrib import admin
from django.utils.functional import Promise
from django.utils.translation import override

from gateway import rail
from gateway.admin import field_words, help_words, words
from tests.operators.people import Desk, gather

OURS = [model for app in words.APPS for model in apps.get_app_config(app).get_models()]


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_every_table_and_column_has_its_words(model):
    label = model._meta.label_lower
    assert label in words.MODELS, f"gateway/admin/words.py has no words for {label}"
    # What is read on no page needs none: keys of tables that only code reads.
    bare = [
        field.name
        for field in model._meta.concrete_fields
        if model in admin.site._registry and not isinstance(field.verbose_name, Promise)
    ]
    assert bare == [], "gateway/admin/field_words.py"


def test_no_words_are_left_over():
    labels = {model._meta.label_lower for model in OURS}
    names = {field.name for model in OURS for field in model._meta.concrete_fields}
    assert words.MODELS.keys() <= labels
    assert field_words.FIELDS.keys() <= names
    fields = {
        f"{model._meta.label_lower}.{field.name}"
        for model in OURS
        for field in model._meta.concrete_fields
    }
    assert help_words.HELP.keys() <= fields


def test_the_rail_names_tables_and_pages_that_are(olga):
    groups = rail.read(olga, "/admin/billing/invoice/7/change/")
    links = [link for _, links in groups for link in links]
    assert [link.label for link in links if link.is_current] == ["Invoices"]
    shown = {link.url for link in links} | {
        link.url for link in rail.rest(admin.site._registry, olga)
    }
    assert len(shown) >= len(admin.site._registry)


class _Text(HTMLParser):
    """What a page says outside of values that are data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("input", "link", "meta", "br", "img", "path", "hr", "rect", "circle"):
            self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside and self._inside[-1] in ("h1", "h2", "label", "summary", "button"):
            self.found.append(data.strip())


@pytest.mark.django_db
def test_headings_labels_and_buttons_are_chinese_where_that_is_chosen():
    desk: Desk = gather()
    client = desk.clients["superuser"]
    client.cookies["django_language"] = "zh-hans"
    paths = [
        "/admin/", "/admin/find/", "/admin/tables/", "/admin/catalog-file/",
        "/admin/providers/channel/add/", "/admin/providers/price/add/", "/admin/billing/plan/add/",
        *(f"/admin/{label.replace('.', '/')}/{desk.pk(label)}/change/"
          for label in ("billing.invoice", "billing.paymentevent", "accounts.apikey")),
    ]  # fmt: skip
    english = {}
    with override("en"):
        for path in paths:
            reader = _Text()
            reader.feed(client.get(path).content.decode())
            english[path] = [
                text
                for text in reader.found
                if text.isascii() and any(one.isalpha() for one in text) and " " in text
            ]
    data = ("Acme Robotics", "English", "paid evt_1")
    left = [(path, one) for path, found in english.items() for one in found]
    assert [pair for pair in left if not pair[1].startswith(data)] == []
