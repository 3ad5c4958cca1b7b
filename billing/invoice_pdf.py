"""Documents as PDF files, drawn by a process of its own (see billing.pdf_sheet), bounded."""

import json
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.invoice_document import Document, address
from billing.money import format_minor

_SECONDS_MAX = 30
_BYTES_MAX = 4 * 1024 * 1024
# Files drawn at once by one gateway process; who waits longer than a moment is told to come back.
_DRAWING = threading.BoundedSemaphore(2)
_WAIT_SECONDS = 20


class Busy(Exception):
    """Too many files are being drawn, or this one could not be in time."""


def write(document: Document) -> bytes:
    """The file. Raises `Busy`."""
    text = json.dumps(_sheet(document))
    if not _DRAWING.acquire(timeout=_WAIT_SECONDS):
        raise Busy
    try:
        done = subprocess.run(
            [sys.executable, "-m", "billing.pdf_sheet"],
            input=text.encode(),
            capture_output=True,
            timeout=_SECONDS_MAX,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        raise Busy from error
    finally:
        _DRAWING.release()
    if len(done.stdout) > _BYTES_MAX:
        raise Busy
    return done.stdout


def _sheet(document: Document) -> dict[str, Any]:
    title = _("Credit note %(number)s") if document.is_credit_note else _("Invoice %(number)s")
    facts = [
        (_("Date"), f"{document.issued_on}"),
        (_("Period"), f"{document.first_day} - {document.last_day}"),
    ]
    if document.corrects:
        facts.append((_("Corrects invoice"), document.corrects))
    sheet = {
        "title": title % {"number": document.number},
        "language": get_language() or "en",
        "facts": facts,
        "seller": [*address(document.seller)],
        "buyer": [*address(document.buyer)],
        "lines": [(one.title, one.note, _amount(one.net_minor)) for one in document.lines],
        "totals": [
            (_("Net"), _amount(document.net_minor)),
            (document.tax_words, _amount(document.tax_minor)),
            (_("Total in USD"), _amount(document.total_minor)),
        ],
        "notes": [document.note],
    }
    return _readable(sheet) | {"font": ""} if _is_latin(sheet) else sheet | {"font": _font()}


def _readable(sheet: dict[str, Any]) -> dict[str, Any]:
    """A dash that Latin-1 has."""
    return dict(json.loads(json.dumps(sheet, ensure_ascii=False).replace("–", "-")))


def _is_latin(sheet: dict[str, Any]) -> bool:
    try:
        json.dumps(sheet, ensure_ascii=False).replace("–", "-").encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _font() -> str:
    """Noto Sans SC: Latin, Greek, Cyrillic and Chinese. Found without importing its package."""
    spec = find_spec("pylopdf_fonts_zh_cn")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent / "NotoSansSC-Regular.otf")


def _amount(minor: int) -> str:
    return format_minor(minor).replace("−", "-")
