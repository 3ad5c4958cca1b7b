"""The API reference, read from the OpenAPI document: nothing in it is written twice."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from gateway import descriptions

Json = dict[str, Any]
_DEPTH_MAX = 8  # of nested structures; none is as deep
_PREFIX = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body or an answer, with what is inside of it."""

    name: str
    kind: str
    is_required: bool
    limits: tuple[str, ...]
    default: str
    words: str
    fields: tuple["Field", ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """A body or an answer: its media type, what it is, and its fields."""

    media: str
    words: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation. `name` is its anchor too: the same in every language."""

    name: str
    method: str
    path: str
    title: str
    lead: str
    parameters: tuple[Field, ...]
    body: Shape | None
    answers: tuple[Shape, ...]
    headers: tuple[tuple[str, str], ...]
    errors: tuple[tuple[int, str], ...]


@functools.cache
def _document() -> Json:
    # What draws the document is large, and few gateways are ever asked.
    from gateway import openapi

    found: Json = json.loads(openapi.document(settings.BASE_URL))
    return found


def endpoints() -> list[Endpoint]:
    """Every operation of the document, in its order of use: what answers before what lists."""
    found = [
        _endpoint(path, method, operation)
        for path, methods in _document()["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=lambda one: (one.method != "POST", one.path))


def error() -> Shape:
    """What every answer is that is not a success."""
    return _shape("application/json", {"$ref": f"{_PREFIX}Error"}, is_answer=True)


def _endpoint(path: str, method: str, operation: Json) -> Endpoint:
    name = operation["operationId"]
    title, lead = descriptions.OPERATIONS.get(name, (operation["summary"], ""))
    responses = operation["responses"]
    body = operation.get("requestBody")
    contents = body["content"].items() if body else ()
    return Endpoint(
        name=name,
        method=method.upper(),
        path=path,
        title=str(title),
        lead=str(lead),
        parameters=tuple(map(_parameter, operation.get("parameters", ()))),
        body=next((_shape(media, one["schema"]) for media, one in contents), None),
        answers=tuple(
            _shape(media, one["schema"], is_answer=True)
            for media, one in responses["200"]["content"].items()
        ),
        headers=tuple(
            (name, str(descriptions.HEADERS.get(name, "")))
            for name in responses["200"].get("headers", ())
        ),
        errors=tuple(
            (int(status), _(answer["description"]))
            for status, answer in sorted(responses.items())
            if status != "200"
        ),
    )


def _parameter(parameter: Json) -> Field:
    words = descriptions.PARAMETERS.get(parameter["name"], "")
    return Field(
        parameter["name"], _kind(parameter["schema"]), True, _limits(parameter["schema"]), "",
        str(words),
    )  # fmt: skip


def _shape(media: str, schema: Json, *, is_answer: bool = False) -> Shape:
    resolved = _resolve(schema)
    words = str(descriptions.STRUCTURES.get(resolved.get("title", ""), ""))
    return Shape(media, words, tuple(_fields(resolved, is_answer=is_answer)))


def _fields(structure: Json, *, is_answer: bool, depth: int = 0) -> Iterator[Field]:
    required = structure.get("required", ())
    owner = structure.get("title", "")
    for name, schema in structure.get("properties", {}).items():
        variants = _variants(schema)
        inner = _structure(variants) if depth < _DEPTH_MAX else None
        yield Field(
            name=name,
            kind=_kind(schema, is_answer=is_answer),
            is_required=name in required and not is_answer,
            limits=tuple(text for one in variants for text in _limits(one)),
            default=_default(schema),
            words=str(descriptions.FIELDS.get(f"{owner}.{name}", "")),
            fields=tuple(_fields(inner, is_answer=is_answer, depth=depth + 1)) if inner else (),
        )


def _resolve(schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = _document()["components"]["schemas"][schema["$ref"].removeprefix(_PREFIX)]
    return found


def _variants(schema: Json) -> list[Json]:
    """What a field may be, null left out."""
    return [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]


def _structure(variants: list[Json]) -> Json | None:
    """The object inside of a field or of its list's items."""
    for variant in variants:
        inner = _resolve(variant.get("items", variant))
        if "discriminator" in inner:
            return _merge([_resolve(one) for one in inner["anyOf"]])
        for one in _variants(inner):
            resolved = _resolve(one)
            if resolved.get("properties"):
                return resolved
    return None


def _merge(structures: list[Json]) -> Json:
    """Structures that differ by their role, as one with every role."""
    properties: Json = {}
    for one in structures:
        for name, schema in one["properties"].items():
            if "enum" in schema and name in properties:
                schema = {"enum": [*properties[name]["enum"], *schema["enum"]]}
            properties[name] = schema
    required = [
        name for name in properties if all(name in one.get("required", ()) for one in structures)
    ]
    return {"title": descriptions.MESSAGE, "properties": properties, "required": required}


def _kind(schema: Json, *, is_answer: bool = False) -> str:
    """The type as one reads it: `string or array of strings`."""
    kinds = [_kind_of(one) for one in _variants(schema)]
    if is_answer and any(one.get("type") == "null" for one in schema.get("anyOf", ())):
        kinds.append("null")
    return _(" or ").join(dict.fromkeys(kinds))


def _kind_of(schema: Json) -> str:
    schema = _resolve(schema)
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("type") == "array":
        items = _resolve(schema.get("items", {}))
        inner = "object" if "anyOf" in items else items.get("type", "object")
        return _("array of %(kind)ss") % {"kind": inner}
    return str(schema.get("type", "object"))


def _limits(schema: Json) -> tuple[str, ...]:
    pairs = (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", _("characters")),
        ("minItems", "maxItems", _("entries")),
    )
    values = schema.get("additionalProperties")
    own = [_range(schema.get(low), schema.get(high), unit) for low, high, unit in pairs]
    inner = _limits(values) if isinstance(values, dict) else ()
    return tuple(text for text in (*own, *inner) if text)


def _range(low: float | None, high: float | None, unit: str) -> str:
    texts = {"low": _number(low), "high": _number(high)}
    if low is None and high is None:
        return ""
    if high is None:
        words = _("at least %(low)s") % texts
    elif low is None:
        words = _("at most %(high)s") % texts
    else:
        words = _("%(low)s to %(high)s") % texts
    return f"{words} {unit}".strip()


def _number(value: float | None) -> str:
    return "" if value is None else number_format(value, force_grouping=True).replace("-", "−")


def _default(schema: Json) -> str:
    """Null and the empty text only say that a field may be left out."""
    value = schema.get("default")
    return "" if value in (None, "") else json.dumps(value)
