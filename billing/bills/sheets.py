"""A provider's file as rows of named cells: CSV with commas or tabs, in UTF-8 or GB 18030, or a
ZIP of such files. What is in a cell is text until `cells` has read it."""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

BYTES_MAX = 20 * 1024 * 1024
ROWS_MAX = 200_000
COLUMNS_MAX = 200
CELL_CHARS_MAX = 4_000
MEMBERS_MAX = 8

_BETWEEN_WORDS = re.compile(r"[\W_]+")


class Unreadable(Exception):
    """The file cannot be taken for a bill; `row` says where, the header being the first."""

    def __init__(self, why: str, row: int | None = None) -> None:
        super().__init__(f"row {row}: {why}" if row else why)
        self.row = row


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    cells: dict[str, str]

    def get(self, *names: str) -> str:
        """The first cell of these names that there is and holds anything."""
        return next((self.cells[name] for name in names if self.cells.get(name)), "")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table. Column names are lower-case letters and digits, whatever stood between them."""

    name: str
    columns: tuple[str, ...]
    text: str
    delimiter: str

    def has(self, *names: str) -> bool:
        """Whether it has all of these columns."""
        return set(names) <= set(self.columns)

    def rows(self) -> Iterator[Row]:
        """Raises `Unreadable`. Empty rows are passed over."""
        for number, cells in _records(self.text, self.delimiter):
            if number == 1 or not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(self.columns) and any(cells[len(self.columns) :]):
                raise Unreadable(f"{len(cells)} cells under {len(self.columns)} columns", number)
            pairs = zip(self.columns, cells, strict=False)
            yield Row(number, {name: cell.strip() for name, cell in pairs})


def read(name: str, data: bytes) -> list[Sheet]:
    """The tables of a file. Raises `Unreadable`."""
    if len(data) > BYTES_MAX:
        raise Unreadable(f"It is larger than {BYTES_MAX // 1024**2} MB.")
    if data.startswith(b"PK\x03\x04"):
        return _unzipped(data)
    return [_sheet(name, data)]


def _unzipped(data: bytes) -> list[Sheet]:
    """Never more than the limit is unpacked, whatever the archive says of its sizes."""
    sheets, left = [], BYTES_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [one for one in archive.infolist() if one.filename.lower().endswith(".csv")]
            if not 0 < len(members) <= MEMBERS_MAX:
                raise Unreadable(
                    f"A ZIP holds 1 to {MEMBERS_MAX} CSV files; this has {len(members)}."
                )
            for member in members:
                with archive.open(member) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise Unreadable(f"Unpacked it is larger than {BYTES_MAX // 1024**2} MB.")
                sheets.append(_sheet(member.filename, content))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise Unreadable("The ZIP file is damaged, or locked with a password.") from error
    return sheets


def _sheet(name: str, data: bytes) -> Sheet:
    text = _decoded(data)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = "\t" if first.count("\t") > first.count(",") else ","
    _number, header = next(_records(text, delimiter), (1, []))
    columns = tuple(_BETWEEN_WORDS.sub("", cell).lower() for cell in header)
    if not any(columns):
        raise Unreadable("It has no header row.")
    if len(columns) > COLUMNS_MAX:
        raise Unreadable(f"{len(columns)} columns are more than {COLUMNS_MAX}.", 1)
    twice = {one for one in columns if one and columns.count(one) > 1}
    if twice:
        raise Unreadable(f"two columns are called {min(twice)}", 1)
    return Sheet(name, columns, text, delimiter)


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise Unreadable("It holds NUL bytes, so it is no CSV file. Save it as CSV in UTF-8.")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding).lstrip("\r\n\ufeff")
        except UnicodeDecodeError:
            continue
    raise Unreadable("It is neither UTF-8 nor GBK text.")


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for cells in reader:
            number += 1
            if number > ROWS_MAX:
                raise Unreadable(f"It has more than {ROWS_MAX:,} rows.")
            if any(len(cell) > CELL_CHARS_MAX for cell in cells):
                raise Unreadable(f"a cell is longer than {CELL_CHARS_MAX:,} characters", number)
            yield number, cells
    except csv.Error as error:
        raise Unreadable(f"no CSV: {error}", number + 1) from error
