"""What a scripted upstream answers by itself: just enough of a model for suites that bring their
own prompts. It calls the tool it is given, fills the schema it is given, and else repeats."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.scripts import Call, Json, Script


def mimic(request: Json) -> Script:
    """The answer to a request that names no script."""
    asked = last_text(request)
    thinks = (request.get("thinking") or {}).get("type") == "enabled"
    reasoning = "They ask for a word." if thinks else ""
    tools = request.get("tools") or []
    choice = request.get("tool_choice")
    last = (request.get("messages") or [{}])[-1]
    if tools and choice != "none" and last.get("role") != "tool":
        tool = _chosen(tools, choice)
        arguments = _example(tool.get("parameters") or {}, asked)
        return Script(text="", tool_calls=[Call(tool["name"], _dump(arguments))])
    form = request.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"].get("schema") or {}
        return Script(text=_dump(_example(schema, asked, schema)))
    if form.get("type") == "json_object":
        names = re.findall(r"[`'\"](\w+)[`'\"]", asked) or ["answer"]
        return Script(text=_dump(dict.fromkeys(names, "a word")))
    text = _stopped(f"You said: {asked}", request.get("stop"))
    return Script(text=text, reasoning=reasoning, chunks=4)


def last_text(request: Json) -> str:
    """The text of the last user message, content parts joined."""
    for message in reversed(request.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return " ".join(part["text"] for part in content if part.get("text"))
    return ""


def _chosen(tools: list[Json], choice: Any) -> Json:
    functions: list[Json] = [tool["function"] for tool in tools]
    if isinstance(choice, dict):
        wanted = choice["function"]["name"]
        return next(function for function in functions if function["name"] == wanted)
    return functions[0]


def _example(schema: Json, asked: str, root: Json | None = None) -> Any:
    """A value the schema allows, taken from the prompt where that offers one."""
    root = root or schema
    if "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return _example(found, asked, root)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return _example(schema[union][0], asked, root)
    match schema.get("type"):
        case "integer" | "number":
            number = re.search(r"-?\d+", asked)
            return int(number[0]) if number else 3
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            return [_example(schema.get("items") or {}, asked, root)]
        case "string":
            quoted = re.search(r"[\"'`]([^\"'`]+)[\"'`]", asked)
            return quoted[1] if quoted else asked[:60] or "a word"
    properties: Json = schema.get("properties") or {}
    return {name: _example(inner, asked, root) for name, inner in properties.items()}


def _stopped(text: str, stop: Any) -> str:
    """The text before the first stop string."""
    stops = [stop] if isinstance(stop, str) else stop or []
    ends = [text.index(one) for one in stops if one in text]
    return text[: min(ends)] if ends else text


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
