"""Chinese is whole, and what is compiled is what is written."""

import gettext
import re
from pathlib import Path

from django.conf import settings

MESSAGES = Path(settings.LOCALE_PATHS[0]) / "zh_Hans" / "LC_MESSAGES"
_ENTRY = re.compile(r'^(msgid|msgstr|msgid_plural|msgstr\[0\]) ((?:"(?:[^"\\]|\\.)*"\s*)+)', re.M)


def written() -> dict[str, str]:
    """Message and translation, as the .po file has them."""
    found: dict[str, str] = {}
    message = ""
    for kind, quoted in _ENTRY.findall((MESSAGES / "django.po").read_text(encoding="utf-8")):
        text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', quoted))
        text = text.replace("\\n", "\n").replace('\\"', '"').replace("\\\\", "\\")
        if kind == "msgid":
            message = text
        elif kind.startswith("msgstr"):
            found[message] = text
    return found


def test_every_message_has_a_translation_with_the_same_values():
    names = re.compile(r"%\(\w+\)s|%[ds]")
    for message, translation in written().items():
        assert translation, message
        if message:
            assert sorted(names.findall(message)) == sorted(names.findall(translation)), message


def test_the_compiled_messages_are_those_written():
    with (MESSAGES / "django.mo").open("rb") as compiled:
        catalog = gettext.GNUTranslations(compiled)
    for message, translation in written().items():
        if message:
            # The newer Pythons find a plural by `gettext` too.
            compiled_as = catalog.gettext(message), catalog.ngettext(message, message, 1)
            assert translation in compiled_as
