"""Chinese is whole, and what is compiled is what is written."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils.translation import override
from django.utils.translation.template import templatize

from gateway.templatetags import ui

ROOT = Path(settings.BASE_DIR)
MESSAGES = Path(settings.LOCALE_PATHS[0]) / "zh_Hans" / "LC_MESSAGES"
_ENTRY = re.compile(
    r'^(msgctxt|msgid|msgstr|msgid_plural|msgstr\[0\]) ((?:"(?:[^"\\]|\\.)*"\s*)+)', re.M
)
_TEXT = r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_IN_TEMPLATE = re.compile(rf"\b(_|n?p?gettext)\({_TEXT}(?:, {_TEXT})?", re.S)
# What makemessages looks for in Python, too: under another name it would miss a message.
_FUNCTIONS = {
    f"{name}{suffix}"
    for name in ("gettext", "ngettext", "pgettext", "npgettext")
    for suffix in ("", "_lazy", "_noop")
}
_NAMES = {"_", *_FUNCTIONS}
# These translate what is marked where it is written: gateway/openapi.py, and just above.
_COMPUTED = {"gateway/pages/reference.py": 1, "gateway/templatetags/ui.py": 1}
_CONTEXT_END = "\x04"  # as .mo files have it


def entries() -> Iterator[tuple[str, str, str]]:
    """Message, its plural where it has one, and translation, as the .po file has them."""
    context = message = plural = ""
    for kind, quoted in _ENTRY.findall((MESSAGES / "django.po").read_text(encoding="utf-8")):
        text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', quoted))
        text = text.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
        if kind == "msgctxt":
            context = text + _CONTEXT_END
        elif kind == "msgid":
            context, message, plural = "", context + text, ""
        elif kind == "msgid_plural":
            plural = text
        else:
            yield message, plural, text


def written() -> dict[str, str]:
    """Each message's translation."""
    return {message: translation for message, _plural, translation in entries()}


def in_template(source: str) -> Iterator[str]:
    for name, *texts in _IN_TEMPLATE.findall(templatize(source)):
        first, second = (ast.literal_eval(text) if text else "" for text in texts)
        yield first + _CONTEXT_END + second if name.startswith(("p", "np")) else first


def in_python(source: str) -> Iterator[str | None]:
    """Each message, and None for a call whose message is not in its place."""
    tree = ast.parse(source)
    named: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
            found = {one.asname or one.name: one.name for one in node.names}
            named |= {name: real for name, real in found.items() if real in _FUNCTIONS}
    assert named.keys() <= _NAMES, f"makemessages does not know {named.keys() - _NAMES}"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = named.get(called.id, "") if isinstance(called, ast.Name) else ""
        if isinstance(called, ast.Attribute) and called.attr in _FUNCTIONS:
            name = called.attr
        if name:
            yield _message(name, node.args)


def _message(name: str, arguments: list[ast.expr]) -> str | None:
    texts = [
        one.value
        for one in arguments
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]
    if name.startswith(("p", "np")):
        return _CONTEXT_END.join(texts[:2]) if len(texts) >= 2 else None
    return texts[0] if texts else None


def packages() -> list[Path]:
    """Every app and the configuration; not the tests."""
    found = [one.parent for one in ROOT.glob("*/__init__.py") if one.parent.name != "tests"]
    assert len(found) > 4, found
    return found


def test_every_message_of_the_templates_is_translated():
    known = written()
    paths = [one for one in ROOT.glob("templates/**/*") if one.suffix in {".html", ".txt"}]
    assert len(paths) > 50
    missing = {
        message: path.name
        for path in paths
        for message in in_template(path.read_text(encoding="utf-8"))
        if message not in known
    }
    assert not missing


def test_every_message_of_the_code_is_translated():
    known = written()
    missing: dict[str, str] = {}
    computed: dict[str, int] = {}
    for path in (one for package in packages() for one in package.rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        for message in in_python(path.read_text(encoding="utf-8")):
            if message is None:
                computed[where] = computed.get(where, 0) + 1
            elif message not in known:
                missing[message] = where
    assert not missing
    assert computed == _COMPUTED, "a message that is computed cannot be looked for"


def test_messages_are_found_however_they_are_marked():
    assert list(
        in_template(
            """{% translate "plain" %}{% translate 'single' as x %}{{ _("in a variable") }}
            {% blocktranslate with n=m|length %}{{ n }} of 100%{% endblocktranslate %}
            {% blocktranslate count n=m trimmed %}
              one {{ n }}
            {% plural %}many {{ n }}{% endblocktranslate %}
            {% translate "May" context "month" %}{{ x|default:_("by default") }}"""
        )
    ) == [
        "plain",
        "single",
        "in a variable",
        "%(n)s of 100%%",
        "one %(n)s",
        "month\x04May",
        "by default",
    ]
    assert list(
        in_python(
            "from django.utils.translation import gettext as _, ngettext, pgettext_lazy\n"
            "from django.utils import translation\n"
            "_('over ' 'two')\nf\"{_('in braces')}\"\nngettext('one', 'many', n)\n"
            "pgettext_lazy('month', 'May')\ntranslation.gettext('by module')\n_(computed)\n"
        )
    ) == ["over two", "one", "month\x04May", "by module", None, "in braces"]


def test_every_message_has_a_translation_with_the_same_values():
    names = re.compile(r"%\(\w+\)s|%[ds]")
    for message, plural, translation in entries():
        assert translation, message
        if message:
            # Chinese has one form for any number: it needs what the plural says.
            said = sorted(names.findall(plural or message))
            assert said == sorted(names.findall(translation)), message


def test_the_compiled_messages_are_those_written():
    with (MESSAGES / "django.mo").open("rb") as compiled:
        catalog = gettext.GNUTranslations(compiled)
    for message, translation in written().items():
        if message:
            # The newer Pythons find a plural by `gettext` too.
            compiled_as = catalog.gettext(message), catalog.ngettext(message, message, 1)
            assert translation in compiled_as


def test_what_a_probe_noted_is_said_in_the_readers_language() -> None:
    with override("zh-hans"):
        assert ui.probe_note("8 % of requests failed") == "8 % 的请求失败"
        assert ui.probe_note("1 of 2 channels failing") == "1/2 个渠道失败"
        assert ui.probe_note("no answer") == "没有应答"
    with override("en"):
        assert ui.probe_note("8 % of requests failed") == "8 % of requests failed"
