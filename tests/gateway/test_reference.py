"""The API reference: whole, in words, and right about what the gateway does."""

import json
import re
from typing import Any

import jsonschema
import pytest
from django.core.cache import cache
from django.utils.translation import override

from gateway import descriptions, openapi
from gateway.pages import reference, reference_examples
from providers import seed
from tests.gateway.wire import Wire

pytestmark = pytest.mark.django_db
PAGE = "/docs/api-reference"


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(openapi.document("https://api.example.com"))


def walk(fields: tuple[reference.Field, ...]) -> list[reference.Field]:
    return [inner for one in fields for inner in (one, *walk(one.fields))]


def test_every_operation_of_the_document_is_on_the_page(client, document):
    page = client.get(PAGE).content.decode()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f'id="{operation["operationId"]}"' in page
            assert f"{method.upper()}</span> <code>{path}</code>" in page
            assert operation["operationId"] in descriptions.OPERATIONS
            for status in operation["responses"]:
                assert f">{status}</td>" in page or status == "200"


def test_every_field_that_goes_over_the_wire_has_words(document):
    names = {
        f"{descriptions.MESSAGE if is_message else name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for is_message in ["enum" in schema["properties"].get("role", {})]
        for field in schema["properties"]
    }
    assert names - set(descriptions.FIELDS) == set()


def test_no_words_are_left_over(document):
    fields = {
        f"{owner}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field in schema["properties"]
        for owner in (name, descriptions.MESSAGE)
    }
    assert set(descriptions.FIELDS) - fields == set()


def test_a_body_shows_what_is_required_its_limits_and_what_is_inside():
    chat = next(one for one in reference.endpoints() if one.name == "createChatCompletion")
    assert chat.body is not None
    fields = {one.name: one for one in chat.body.fields}
    assert [one.name for one in chat.body.fields if one.is_required] == ["model", "messages"]
    assert fields["temperature"].limits == ("0 to 2",)
    assert fields["presence_penalty"].limits == ("−2 to 2",)
    assert fields["messages"].limits == ("1 to 10,000 entries",)
    assert fields["stop"].kind == "string or array of strings"
    message = {one.name: one for one in fields["messages"].fields}
    assert message["role"].kind == "system, developer, user, assistant, tool, function"
    assert message["role"].is_required
    deep = {one.name for one in walk(chat.body.fields)}
    assert {"tool_call_id", "image_url", "include_usage", "arguments", "parameters"} <= deep


def test_examples_of_answers_are_as_the_document_says(document):
    for name, by_media in reference_examples.ANSWERS.items():
        operation = next(
            one
            for methods in document["paths"].values()
            for one in methods.values()
            if one["operationId"] == name
        )
        for media, example in by_media.items():
            schema = operation["responses"]["200"]["content"][media]["schema"]
            jsonschema.validate(example, {**schema, "components": document["components"]})


def test_the_example_request_is_answered(wire: Wire):
    code = dict(reference_examples.request("createChatCompletion", "http://x/v1", "qwen-plus"))
    [body] = re.findall(r"-d '(.*)'", code["curl"], re.DOTALL)
    answer = wire.http.post("/v1/chat/completions", json=json.loads(body), headers=wire.headers())
    assert answer.status_code == 200


def test_every_operation_has_examples_in_every_language():
    for endpoint in reference.endpoints():
        found = reference_examples.request(endpoint.name, "http://x/v1", "qwen-plus")
        assert [language for language, _code in found] == ["curl", "python", "node"]
        for shape in endpoint.answers:
            assert reference_examples.answer(endpoint.name, shape.media, "qwen-plus")


def test_the_markdown_says_the_same_and_searching_finds_it(client):
    text = client.get(f"{PAGE}.md").content.decode()
    assert "`POST /v1/chat/completions`" in text
    assert "- `top_logprobs` (integer, 0 to 20)" in text
    assert "    - `image_url`" in text
    assert "API reference" in client.get("/docs/search?q=thinking_budget").content.decode()
    assert f"{PAGE}.md" in client.get("/llms.txt").content.decode()
    assert "thinking_budget" in client.get("/llms-full.txt").content.decode()


def test_the_page_forbids_inline_style_and_keeps_its_anchors_in_every_language(client):
    with override("zh-hans"):
        page = client.get(PAGE, headers={"accept-language": "zh-hans"}).content.decode()
    assert 'id="createChatCompletion"' in page
    assert " style=" not in page
    assert "<h1>API 参考" in page or "API 参考</h1>" in page


def test_the_document_says_of_fields_what_they_mean_in_english(document):
    chat = document["components"]["schemas"]["ChatCompletionRequest"]["properties"]
    assert chat["seed"]["description"].startswith("Ask for a repeatable answer")
