"""The hot path's part of the OpenAPI document, from the structures that validate it."""

from typing import Any

import msgspec
from drf_spectacular.openapi import AutoSchema

from gateway.payload import ChatCompletionRequest


class ChatSchema(AutoSchema):
    """Describes the chat completion body by its msgspec structure."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        operation = super().get_operation(*args, **kwargs)
        if operation is not None:
            schema = request_schema()
            operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        return operation


CHAT_SCHEMA = ChatSchema()


def request_schema() -> dict[str, Any]:
    """JSON Schema of `POST /v1/chat/completions`."""
    return msgspec.json.schema(ChatCompletionRequest)
