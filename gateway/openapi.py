"""The OpenAPI document of /v1, from its routes and from the structures that validate requests.

drf-spectacular walks the routes; each view says with `operation` what it takes and answers.
"""

import functools
from typing import Any, Literal

import msgspec
from django.utils.translation import gettext_noop as _
from django.utils.translation import override
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

from gateway import descriptions
from gateway.payload import ChatCompletionRequest, ToolCall

Json = dict[str, Any]
_COMPONENT = "#/components/schemas/{name}"
_RATES = [
    f"x-ratelimit-{part}-{kind}"
    for part in ("limit", "remaining", "reset")
    for kind in ("requests", "tokens")
]
# What each status of an error means here; `gateway.errors` is where they are decided.
ERRORS = {
    400: _("Something in the request is invalid; `param` names it where it can."),
    401: _("No API key, or one that is unknown, revoked or expired."),
    402: _("The balance, or the key's spend cap, does not cover the request."),
    403: _("The key may not be used for this model or from this address, or is suspended."),
    404: _("The model does not exist, or this key may not know of it."),
    405: _("The method is not allowed here; `Allow` says which are."),
    408: _("The request did not arrive in time."),
    413: _("The body exceeds the plan's bound."),
    415: _("The body is compressed, or is not JSON."),
    429: _("A rate limit is reached; `Retry-After` says for how long."),
    431: _("The request's head exceeds its bound."),
    500: _("A mistake of ours. Nothing is charged."),
    502: _("The model's provider could not answer. Nothing is charged."),
    503: _("The service, or the model's provider, is busy or away. Nothing is charged."),
    504: _("The model's provider did not answer in time. Nothing is charged."),
}
EXAMPLE = {"model": "qwen-plus", "messages": [{"role": "user", "content": "Say hello."}]}
EVERYWHERE = (400, 401, 403, 405, 408, 429, 431, 500, 503)


class ErrorDetail(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(msgspec.Struct):
    """Every answer that is not a success; a stream's error event too."""

    error: ErrorDetail


class Model(msgspec.Struct):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int


class ModelList(msgspec.Struct):
    object: Literal["list"]
    data: list[Model]


class PromptDetails(msgspec.Struct):
    cached_tokens: int


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: int


class Usage(msgspec.Struct):
    """Tokens as charged, and the charge in USD."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    cost: float


class AnswerMessage(msgspec.Struct):
    content: str | None
    refusal: str | None
    role: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct):
    index: int
    message: AnswerMessage
    logprobs: dict[str, Any] | None
    finish_reason: str | None = None


class ChatCompletion(msgspec.Struct):
    """The whole answer, where `stream` is not true."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(msgspec.Struct):
    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChunkChoice(msgspec.Struct):
    index: int
    delta: Delta
    finish_reason: str | None = None


class ChatCompletionChunk(msgspec.Struct):
    """One event of a stream. The last before `[DONE]` has the usage, where it was asked for."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


_STRUCTURES = (ChatCompletionRequest, ChatCompletion, ChatCompletionChunk, Model, ModelList, Error)


class Operation(AutoSchema):
    """What one view's method takes and answers, as OpenAPI writes it."""

    def __init__(self, operation: Json) -> None:
        super().__init__()
        self._operation = operation

    def get_operation(self, path: str, *_: Any, **__: Any) -> Json:
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in ("name",)
            if f"{{{name}}}" in path
        ]
        return {**self._operation, **({"parameters": parameters} if parameters else {})}


def operation(
    name: str, summary: str, answer: Json, *, errors: tuple[int, ...] = (), body: str = ""
) -> Operation:
    """`answer` is the 200's content by media type; `errors` come on top of those everywhere."""
    headers = {header: {"schema": {"type": "string"}} for header in ("x-request-id", *_RATES)}
    responses: Json = {"200": {"description": summary, "headers": headers, "content": answer}}
    for status in sorted({*EVERYWHERE, *errors}):
        content = {"application/json": {"schema": reference(Error)}}
        responses[str(status)] = {"description": ERRORS[status], "content": content}
    made: Json = {
        "operationId": name,
        "summary": summary,
        "security": [{"apiKey": []}],
        "responses": responses,
    }
    if body:
        schema = {"$ref": _COMPONENT.format(name=body)}
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return Operation(made)


def reference(structure: type[msgspec.Struct]) -> Json:
    return {"$ref": _COMPONENT.format(name=structure.__name__)}


CHAT = operation(
    "createChatCompletion",
    "One answer of a model, whole or as server-sent events.",
    {
        "application/json": {"schema": reference(ChatCompletion)},
        "text/event-stream": {"schema": reference(ChatCompletionChunk)},
    },
    errors=(402, 404, 413, 415, 502, 504),
    body=ChatCompletionRequest.__name__,
)
MODELS = operation(
    "listModels",
    "The models this key may name.",
    {"application/json": {"schema": reference(ModelList)}},
)
MODEL = operation(
    "retrieveModel",
    "One of them.",
    {"application/json": {"schema": reference(Model)}},
    errors=(404,),
)


@functools.cache
def document(base_url: str) -> bytes:
    """The whole document as JSON, for a product at `base_url`."""
    generator = SchemaGenerator(urlconf="gateway.urls")  # type: ignore[no-untyped-call]
    paths = generator.get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]
    _, schemas = msgspec.json.schema_components(_STRUCTURES, ref_template=_COMPONENT)
    _describe(schemas)
    key = {"type": "http", "scheme": "bearer", "description": "An API key: `ttonk_sk_…`."}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "ttonkapi", "version": "1"},
            "servers": [{"url": base_url}],
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"apiKey": key}},
        }
    )


def _describe(schemas: dict[str, Any]) -> None:
    """Say of every field what it means, in English."""
    with override("en"):
        for name, schema in schemas.items():
            owner = descriptions.MESSAGE if _is_message(schema) else name
            for field, facts in schema.get("properties", {}).items():
                words = descriptions.FIELDS.get(f"{owner}.{field}")
                if words and "$ref" not in facts:
                    facts["description"] = str(words)


def _is_message(schema: Json) -> bool:
    return "enum" in schema.get("properties", {}).get("role", {})
