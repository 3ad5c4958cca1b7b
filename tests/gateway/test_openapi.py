"""The served document is whole: every route under /v1, with what it takes and what it answers."""

import json
from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import get_resolver

from gateway import openapi
from gateway.views import Unknown
from tests.gateway.wire import Wire

REF = "#/components/schemas/"


@pytest.fixture(scope="module")
def document() -> Any:
    answer = Client().get("/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer["Access-Control-Allow-Origin"] == "*"
    return json.loads(answer.content)


def test_every_route_and_method_under_v1_is_in_the_document(document: Any) -> None:
    served = {}
    for pattern in get_resolver("gateway.urls").url_patterns:
        view = getattr(pattern.callback, "cls")  # noqa: B009  (DRF adds it)
        if view is not Unknown:
            path = "/" + str(pattern.pattern).replace("<path:name>", "{name}")
            served[path] = {method.lower() for method in view.methods}
    assert {path: set(methods) for path, methods in document["paths"].items()} == served


def test_every_operation_says_its_errors_and_its_security(document: Any) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["security"] == [{"apiKey": []}]
            answers = operation["responses"]
            assert set(answers) >= {"200", *map(str, openapi.EVERYWHERE)}
            for status, answer in answers.items():
                if status != "200":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": REF + "Error"}
    assert document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["required"]


def test_every_reference_leads_somewhere(document: Any) -> None:
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split(REF)[1:]}
    assert names == set(document["components"]["schemas"])


def test_answers_are_as_the_document_says(wire: Wire, document: Any) -> None:
    def check(answer: Any, name: str) -> None:
        schema = {"$ref": REF + name, "components": document["components"]}
        jsonschema.validate(answer, schema)

    check(wire.chat().json(), "ChatCompletion")
    check(wire.chat(model="nobody").json(), "Error")
    check(wire.http.get("/v1/models", headers=wire.headers()).json(), "ModelList")
    check(wire.http.get("/v1/models/qwen-plus", headers=wire.headers()).json(), "Model")
    _, events, _ = wire.stream(stream_options={"include_usage": True})
    for event in events[:-1]:
        check(json.loads(event), "ChatCompletionChunk")
