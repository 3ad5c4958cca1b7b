"""The documentation: every page in every form, in step with what the product does."""

import re

import pytest
from django.conf import settings
from django.core.cache import cache

from gateway.pages import documentation, markdown
from providers import seed

pytestmark = pytest.mark.django_db
LANGUAGES = [code for code, _name in settings.LANGUAGES]


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.mark.parametrize("slug", documentation.SLUGS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_shown_whole_and_links_to_what_exists(client, slug, language):
    page = client.get(f"/docs/{slug}", headers={"accept-language": language})
    assert page.status_code == 200
    body = page.content.decode()
    assert "{{" not in body
    assert " style=" not in body
    article = body[body.index("<article") : body.index("</article>")]
    for path in set(re.findall(r'href="(/[^"#]*)', article)):
        assert client.get(path).status_code in (200, 302), path


@pytest.mark.parametrize("slug", documentation.SLUGS)
def test_every_page_is_there_as_markdown(client, slug):
    answer = client.get(f"/docs/{slug}.md")
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    text = answer.content.decode()
    assert text.startswith("# ")
    assert "{{" not in text


def test_every_page_is_written_in_every_language():
    for language in LANGUAGES:
        names = {path.stem for path in (documentation.FOLDER / language).glob("*.md")}
        assert names == set(documentation.SLUGS), language


def test_an_unknown_page_is_not_found(client):
    assert client.get("/docs/nothing").status_code == 404
    assert client.get("/docs/nothing.md").status_code == 404


def test_the_index_for_language_models_names_every_page(client):
    index = client.get("/llms.txt").content.decode()
    for slug in documentation.SLUGS:
        assert f"/docs/{slug}.md" in index
    assert "# Billing rules" in client.get("/llms-full.txt").content.decode()


def test_search_finds_pages_by_all_their_words_and_escapes_the_query(client):
    assert "Rate limits" in client.get("/docs/search?q=retry-after").content.decode()
    assert "No page contains" in client.get("/docs/search?q=streaming+xyzzy").content.decode()
    assert "<script>x" not in client.get("/docs/search?q=<script>x").content.decode()
    assert client.get("/docs/search?q=" + "a" * 10_000).status_code == 200


def test_markdown_shows_html_instead_of_obeying_it():
    html = markdown.render("<script>alert(1)</script> [x](javascript:alert(1))")
    assert "<script>" not in html
    assert "href" not in html
