"""A chat completion request: from bytes to a validated structure, or to a clear 400.

The body is decoded once into plain objects (which drops duplicate keys and refuses NaN, lone
surrogates and broken UTF-8), checked for depth and NUL, and converted to the structure that the
rest reads. What goes upstream is built from the plain objects, so fields nobody here knows pass.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.errors import InvalidRequest

DEPTH_MAX = 64
MESSAGES_MAX = 10_000
# Bytes of chat template around a message or a tool list that are not in the JSON itself.
TEMPLATE_TOKENS = 64
IMAGE_TOKENS_MAX = 16_384
IMAGE_TOKENS_ESTIMATE = 1_000
# A video or file behind an address is as long as the model's context, for all the body says.
MEDIA_TOKENS_MAX = 2**31
_TEXT_PARTS = frozenset({"text", "refusal"})
_IMAGE_PARTS = frozenset({"image_url", "input_audio"})
# Fields that would steer credentials or routing in clients' own libraries, or what the operator
# pays for it; never passed on.
FORBIDDEN = frozenset(
    {"api_base", "api_key", "api_version", "base_url", "organization", "extra_headers",
     "extra_body", "extra_query", "custom_llm_provider", "user_id", "deployment_id", "service_tier"}
)  # fmt: skip

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1)]


class ContentPart(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: dict[str, Any] | str | None = None


Content = str | list[ContentPart] | None


class _Message(msgspec.Struct, tag_field="role"):
    content: Content = None
    name: str | None = None


class System(_Message, tag="system"):
    pass


class Developer(_Message, tag="developer"):
    pass


class User(_Message, tag="user"):
    pass


class ToolFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class ToolCall(msgspec.Struct):
    function: ToolFunction
    id: str | None = None
    type: str | None = None


class Assistant(_Message, tag="assistant"):
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None


class Tool(_Message, tag="tool"):
    tool_call_id: str = ""


class Function(_Message, tag="function"):
    pass


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class FunctionDefinition(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolDefinition(msgspec.Struct):
    type: str
    function: FunctionDefinition | None = None


class ChatCompletionRequest(msgspec.Struct):
    """The parameters OpenAI documents, with the bounds it documents."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    messages: Annotated[
        list[System | Developer | User | Assistant | Tool | Function],
        Meta(min_length=1, max_length=MESSAGES_MAX),
    ]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: int | None = None
    user: str | None = None
    tools: Annotated[list[ToolDefinition], Meta(max_length=512)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    metadata: dict[str, Any] | None = None
    enable_thinking: bool | None = None
    thinking_budget: Tokens | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """A valid request: the structure, the plain body, and what it may cost in tokens."""

    chat: ChatCompletionRequest
    body: dict[str, Any]
    # No tokenizer makes more tokens of a prompt than it has bytes.
    prompt_tokens_max: int
    prompt_tokens_estimate: int

    @property
    def model(self) -> str:
        return self.chat.model

    @property
    def is_stream(self) -> bool:
        return bool(self.chat.stream)

    @property
    def wants_usage(self) -> bool:
        options = self.chat.stream_options
        return bool(options and options.include_usage)

    @property
    def choices(self) -> int:
        return self.chat.n or 1

    @property
    def output_tokens_max(self) -> int | None:
        """The client's own limit for each choice, None where it set none."""
        return self.chat.max_completion_tokens or self.chat.max_tokens


_decode = msgspec.json.Decoder().decode
_PATH = re.compile(r" - at `\$\.?(.*)`$")


def parse(data: bytes) -> ChatRequest:
    """Raises `InvalidRequest` that names the parameter to blame."""
    body = _object(data)
    if b"\\u0000" in data:
        _refuse_nul(body, "")
    chat = _convert(body)
    _check(chat)
    for name in FORBIDDEN & body.keys():
        del body[name]
    media_tokens_max, media_tokens, inline_bytes = _media(chat)
    size = len(data) + TEMPLATE_TOKENS + (TEMPLATE_TOKENS * 4 if chat.tools else 0)
    return ChatRequest(
        chat=chat,
        body=body,
        prompt_tokens_max=size + media_tokens_max,
        prompt_tokens_estimate=max(len(data) - inline_bytes, 0) // 4 + media_tokens + 1,
    )


def _object(data: bytes) -> dict[str, Any]:
    too_deep = InvalidRequest(f"The JSON body is nested deeper than {DEPTH_MAX} levels.")
    try:
        body = _decode(data)
    except RecursionError:
        raise too_deep from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise InvalidRequest(
            f"The request body is not valid JSON: {_reason(error)}.", code="invalid_json"
        ) from None
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_json")
    if _may_be_deep(data) and _is_too_deep(body):
        raise too_deep
    return body


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).split(" - at ")[0].removeprefix("JSON is malformed: ")


def _may_be_deep(data: bytes) -> bool:
    """Whether so many containers open that they could nest too deep. Splitting stops at as many,
    and searches far faster than `count` looks at every byte."""
    objects, lists = data.split(b"{", DEPTH_MAX), data.split(b"[", DEPTH_MAX)
    return len(objects) + len(lists) - 2 >= DEPTH_MAX


def _is_too_deep(value: Any) -> bool:
    """Whether containers nest deeper than the bound. Level by level, so texts cost nothing."""
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _refuse_nul(value: Any, path: str) -> None:
    """Databases and upstreams choke on NUL in text; it has no business in any string."""
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidRequest("Text must not contain NUL characters.", param=path or None)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul(key, path)
            _refuse_nul(item, f"{path}.{key}" if path else key)


def _convert(body: dict[str, Any]) -> ChatCompletionRequest:
    try:
        return msgspec.convert(body, ChatCompletionRequest)
    except msgspec.ValidationError as error:
        text = str(error)
        match = _PATH.search(text)
        path = match[1] if match else ""
        reason = _PATH.sub("", text)
        missing = re.fullmatch(r"Object missing required field `(\w+)`", reason)
        if missing:
            path = f"{path}.{missing[1]}" if path else missing[1]
            message = f"Missing required parameter: '{path}'."
        else:
            message = f"Invalid value for '{path}': {_plain(reason)}."
        raise InvalidRequest(message, param=path or None) from None


def _plain(reason: str) -> str:
    reason = reason.replace("`", "").replace(" | null", "")
    return reason[:1].lower() + reason[1:200]


def _check(chat: ChatCompletionRequest) -> None:
    """What no type says."""
    if chat.max_tokens is not None and chat.max_completion_tokens is not None:
        raise InvalidRequest(
            "Set 'max_completion_tokens' or 'max_tokens', not both.", param="max_tokens"
        )
    if chat.stream_options is not None and not chat.stream:
        raise InvalidRequest(
            "'stream_options' is only allowed when 'stream' is true.", param="stream_options"
        )
    if chat.top_logprobs and not chat.logprobs:
        raise InvalidRequest("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    for index, message in enumerate(chat.messages):
        # Nearly every message is a plain text, of which there is nothing more to ask.
        if type(message.content) is not str or type(message) is Tool:
            _check_message(message, f"messages[{index}]")


def _check_message(message: _Message, path: str) -> None:
    content = message.content
    if isinstance(message, Tool) and not message.tool_call_id:
        raise InvalidRequest(
            f"Missing required parameter: '{path}.tool_call_id'.", param=f"{path}.tool_call_id"
        )
    if content is None:
        if not isinstance(message, Assistant | Function):
            raise InvalidRequest(
                f"Missing required parameter: '{path}.content'.", param=f"{path}.content"
            )
        return
    if isinstance(content, str):
        return
    if not content:
        raise InvalidRequest(
            f"'{path}.content' must hold at least one part.", param=f"{path}.content"
        )
    for index, part in enumerate(content):
        if part.type == "text" and part.text is None:
            where = f"{path}.content[{index}].text"
            raise InvalidRequest(f"Missing required parameter: '{where}'.", param=where)
        if part.type == "image_url" and part.image_url is None:
            where = f"{path}.content[{index}].image_url"
            raise InvalidRequest(f"Missing required parameter: '{where}'.", param=where)


def _media(chat: ChatCompletionRequest) -> tuple[int, int, int]:
    """Tokens that parts other than text may become at most, those they are expected to become,
    and the bytes of data they hold inline, which are not read as text."""
    most = expected = inline = 0
    for message in chat.messages:
        if type(message.content) is not list:
            continue
        for part in message.content:
            if part.type in _TEXT_PARTS:
                continue
            most += IMAGE_TOKENS_MAX if part.type in _IMAGE_PARTS else MEDIA_TOKENS_MAX
            expected += IMAGE_TOKENS_ESTIMATE
            image = part.image_url
            address = image.get("url") if isinstance(image, dict) else image
            if isinstance(address, str) and address.startswith("data:"):
                inline += len(address)
    return most, expected, inline


def prompt_texts(chat: ChatCompletionRequest, body: dict[str, Any]) -> list[str]:
    """The prompt's texts, for counting tokens where the upstream did not."""
    out: list[str] = []
    for message in chat.messages:
        if isinstance(message.content, str):
            out.append(message.content)
        elif message.content:
            out += [part.text for part in message.content if part.text]
    if body.get("tools"):
        out.append(msgspec.json.encode(body["tools"]).decode())
    return out
