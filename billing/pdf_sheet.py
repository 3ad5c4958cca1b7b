"""One document as a PDF: JSON on stdin, the file on stdout. A process of its own.

What draws, and a font with Chinese in it, take tens of megabytes; a gateway keeps none of them.
Only the characters that are used are embedded. Run by `billing.invoice_pdf`; knows no Django.
"""

import json
import sys
from typing import Any

from fpdf import FPDF

_LINE_MM = 5
_WIDTH_MM = 170
_AMOUNT_MM = 32
_GREY = (110, 110, 110)


def draw(sheet: dict[str, Any]) -> bytes:
    """`font` is a file, or empty where Latin letters will do; all else is text."""
    pdf = FPDF(format="A4")
    pdf.set_margin(20)
    pdf.set_auto_page_break(True, 20)
    face = "Helvetica"
    if sheet["font"]:
        face = "Text"
        pdf.add_font(face, fname=sheet["font"])
    pdf.set_title(sheet["title"])
    pdf.set_lang(sheet["language"])
    pdf.add_page()
    pdf.set_font(face, size=18)
    _row(pdf, sheet["title"], height=10)
    pdf.set_font(face, size=9)
    for name, value in sheet["facts"]:
        _row(pdf, f"{name}: {value}")
    _parties(pdf, sheet["seller"], sheet["buyer"])
    for title, note, amount in sheet["lines"]:
        _amount(pdf, title, amount)
        if note:
            pdf.set_text_color(*_GREY)
            _row(pdf, note)
            pdf.set_text_color(0)
        pdf.ln(1)
    _rule(pdf)
    for name, amount in sheet["totals"]:
        _amount(pdf, name, amount)
    pdf.ln(4)
    for note in sheet["notes"]:
        _row(pdf, note)
    return bytes(pdf.output())


def _row(pdf: FPDF, text: str, width: float = _WIDTH_MM, height: float = _LINE_MM) -> None:
    pdf.multi_cell(width, height, text, align="L", new_x="LMARGIN", new_y="NEXT")


def _rule(pdf: FPDF) -> None:
    pdf.set_draw_color(200)
    pdf.line(20, pdf.get_y() + 1, 20 + _WIDTH_MM, pdf.get_y() + 1)
    pdf.ln(3)


def _parties(pdf: FPDF, seller: list[str], buyer: list[str]) -> None:
    pdf.ln(4)
    top = pdf.get_y()
    _row(pdf, "\n".join(seller), width=_WIDTH_MM / 2 - 5)
    below = pdf.get_y()
    pdf.set_xy(20 + _WIDTH_MM / 2, top)
    pdf.multi_cell(_WIDTH_MM / 2, _LINE_MM, "\n".join(buyer), align="L")
    pdf.set_xy(20, max(below, pdf.get_y()) + 4)
    _rule(pdf)


def _amount(pdf: FPDF, text: str, amount: str) -> None:
    """Words on the left, which may take several lines, and money on the right of the last."""
    pdf.multi_cell(_WIDTH_MM - _AMOUNT_MM, _LINE_MM, text, align="L", new_x="RIGHT", new_y="LAST")
    pdf.cell(_AMOUNT_MM, _LINE_MM, amount, align="R", new_x="LMARGIN", new_y="NEXT")


if __name__ == "__main__":
    sys.stdout.buffer.write(draw(json.load(sys.stdin)))
