"""Requests and answers that show each operation, by its name. A test sends and checks them."""

import json
from typing import Any

_CREATED = 1_795_392_000
_MODEL = {"id": "{model}", "object": "model", "created": _CREATED, "owned_by": "alibaba",
          "context_length": 131_072}  # fmt: skip

# By operation, then by language. {base_url} and {model} are filled in.
REQUESTS: dict[str, dict[str, str]] = {
    "createChatCompletion": {
        "curl": """curl {base_url}/chat/completions \\
  -H "Authorization: Bearer $TTONK_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "{model}",
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 100
  }'""",
        "python": """import os
from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key=os.environ["TTONK_API_KEY"])
answer = client.chat.completions.create(
    model="{model}",
    messages=[{"role": "user", "content": "Say hello."}],
    max_tokens=100,
)
print(answer.choices[0].message.content)""",
        "node": """import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "{base_url}",
  apiKey: process.env.TTONK_API_KEY,
});
const answer = await client.chat.completions.create({
  model: "{model}",
  messages: [{ role: "user", content: "Say hello." }],
  max_tokens: 100,
});
console.log(answer.choices[0].message.content);""",
    },
    "listModels": {
        "curl": """curl {base_url}/models \\
  -H "Authorization: Bearer $TTONK_API_KEY\"""",
        "python": """import os
from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key=os.environ["TTONK_API_KEY"])
for model in client.models.list():
    print(model.id)""",
        "node": """import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "{base_url}",
  apiKey: process.env.TTONK_API_KEY,
});
for await (const model of client.models.list()) {
  console.log(model.id);
}""",
    },
    "retrieveModel": {
        "curl": """curl {base_url}/models/{model} \\
  -H "Authorization: Bearer $TTONK_API_KEY\"""",
        "python": """import os
from openai import OpenAI

client = OpenAI(base_url="{base_url}", api_key=os.environ["TTONK_API_KEY"])
print(client.models.retrieve("{model}"))""",
        "node": """import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "{base_url}",
  apiKey: process.env.TTONK_API_KEY,
});
console.log(await client.models.retrieve("{model}"));""",
    },
}
_USAGE = {
    "prompt_tokens": 16,
    "completion_tokens": 4,
    "total_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
    "cost": 0.0000016,
}
# By operation, then by media type.
ANSWERS: dict[str, dict[str, Any]] = {
    "createChatCompletion": {
        "application/json": {
            "id": "chatcmpl-8f3a2c",
            "object": "chat.completion",
            "created": _CREATED,
            "model": "{model}",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello there.", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _USAGE,
        },
        "text/event-stream": {
            "id": "chatcmpl-8f3a2c",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": "{model}",
            "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}],
        },
    },
    "listModels": {"application/json": {"object": "list", "data": [_MODEL]}},
    "retrieveModel": {"application/json": _MODEL},
}


def request(operation: str, base_url: str, model: str) -> list[tuple[str, str]]:
    """Language and code; nothing for an operation without examples."""
    return [
        (language, _fill(code, base_url, model))
        for language, code in REQUESTS.get(operation, {}).items()
    ]


def answer(operation: str, media: str, model: str) -> str:
    """As it comes over the wire, indented where it is one document."""
    example = ANSWERS.get(operation, {}).get(media)
    if example is None:
        return ""
    if media == "text/event-stream":
        return _fill(f"data: {json.dumps(example)}\n\ndata: [DONE]", "", model)
    # Python writes small numbers with an exponent; people do not.
    text = json.dumps(example, indent=2).replace("1.6e-06", "0.0000016")
    return _fill(text, "", model)


def _fill(text: str, base_url: str, model: str) -> str:
    return text.replace("{base_url}", base_url).replace("{model}", model)
