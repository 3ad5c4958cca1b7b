"""CSV as a stream of bounded pieces: nothing larger than one piece is ever in memory."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

# A cell that starts with one of these is a formula to a spreadsheet.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
Rows = Sequence[Sequence[Any]]


def respond(name: str, header: Sequence[str], pieces: Iterator[Rows]) -> HttpResponse:
    """`pieces` are asked for one at a time, in a thread, as fast as the client reads."""
    response = StreamingHttpResponse(_written(header, pieces), content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    return cast(HttpResponse, response)  # what a view is declared to return


async def _written(header: Sequence[str], pieces: Iterator[Rows]) -> AsyncIterator[bytes]:
    yield encode([header])
    take: Callable[[], Rows | None] = lambda: next(pieces, None)  # noqa: E731
    while (rows := await sync_to_async(take)()) is not None:
        yield encode(rows)


def encode(rows: Rows) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _safe(cell: Any) -> Any:
    """Names are the customer's own words, and a spreadsheet must not run them."""
    if not isinstance(cell, str) or not cell.startswith(_FORMULA_STARTS):
        return cell
    return cell if _NUMBER.fullmatch(cell) else f"'{cell}"
