"""What each provider's columns mean. One row of a file is one `Entry`, or None where it is about
another product."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from billing.bills import cells
from billing.bills.cells import Day
from billing.bills.sheets import Row, Sheet, Unreadable
from billing.costs import TOKENS
from billing.models import BillFormat

COUNTS = ("requests", *TOKENS)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one row says. `cost` is in units of `currency`."""

    row: int
    day: Day
    model: str
    key: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    cost: Decimal | None = None
    currency: str | None = None


Parser = Callable[[Sheet], Iterator[Entry | None]]

# --- DeepSeek: usage_data_….zip of the platform's usage page, or one of its two files ------------
# amount-….csv has a row for each day, model, key and kind of count; cost-….csv one for each day,
# model and wallet. Days are utc_date, or start_time_iso in the zone of whoever exported.

_DEEPSEEK_KINDS = {
    "request_count": "requests",
    "input_tokens": "input_tokens",
    "input_cache_miss_tokens": "input_tokens",
    "input_cache_hit_tokens": "cached_input_tokens",
    "output_tokens": "output_tokens",
}
_DEEPSEEK_DAY = ("starttimeiso", "utcdate")


def deepseek(sheet: Sheet) -> Iterator[Entry | None]:
    is_amounts = sheet.has("type", "amount")
    for row in sheet.rows():
        day = cells.day(row.get(*_DEEPSEEK_DAY), row.number)
        model = cells.name(row.get("model"), "model", row.number)
        if not is_amounts:
            yield Entry(
                row.number, day, model,
                cost=cells.amount(row.get("cost"), "cost", row.number),
                currency=cells.currency(row.get("currency"), row.number),
            )  # fmt: skip
            continue
        kind = row.get("type")
        if kind not in _DEEPSEEK_KINDS:
            raise Unreadable(f"type {kind[:40]!r} is not known", row.number)
        count = cells.whole(row.get("amount"), "amount", row.number)
        key = cells.optional_name(row.get("apikeyname"), "api_key_name", row.number)
        price = row.get("price")
        cost = cells.amount(price, "price", row.number) * count if price else None
        yield Entry(row.number, day, model, key, {_DEEPSEEK_KINDS[kind]: count}, cost)


# --- Alibaba Cloud: the bill's details, exported with billable items, of Model Studio -----------
# The instance id is ApiKeyID;WorkspaceID;Model;Kind of usage;Channel of the call. Chinese and
# English consoles name the columns differently, and the API a third way.

_DAY = (
    "账单日期", "消费日期", "日期", "billingdate", "billdate", "date", "消费时间", "使用时间",
    "consumptiontime", "usagestarttime", "servicestarttime", "账单开始时间",
)  # fmt: skip
_INSTANCE = ("实例id", "实例id出账粒度", "资产资源实例id", "instanceid")
_USAGE = ("用量", "usage")
_UNIT = ("用量单位", "usageunit")
_COST = (
    "应付金额", "应付金额含税", "pretaxamount", "payableamount", "优惠后金额",
    "amountafterpricereduction", "afterdiscountamount",
)  # fmt: skip
_CURRENCY = ("币种", "货币", "定价币种", "currency")
_UNITS = {"token": 1, "千token": 1_000, "ktoken": 1_000, "1ktoken": 1_000,
          "百万token": 1_000_000, "mtoken": 1_000_000, "1mtoken": 1_000_000}  # fmt: skip


def dashscope(sheet: Sheet) -> Iterator[Entry | None]:
    for row in sheet.rows():
        parts = row.get(*_INSTANCE).split(";")
        if len(parts) < 4 or not parts[2]:
            yield None
            continue
        cost = row.get(*_COST)
        yield Entry(
            row.number,
            cells.day(row.get(*_DAY), row.number),
            cells.name(parts[2], "model", row.number),
            cells.optional_name(parts[0], "ApiKeyID", row.number),
            _dashscope_tokens(row, parts[3].lower()),
            cells.amount(cost, "amount", row.number) if cost else None,
            cells.currency(row.get(*_CURRENCY), row.number),
        )


def _dashscope_tokens(row: Row, kind: str) -> dict[str, int]:
    """What is not counted in tokens only costs."""
    unit = row.get(*_UNIT).lower().replace(" ", "").replace("tokens", "token")
    usage, size = row.get(*_USAGE), _UNITS.get(unit)
    name = _dashscope_class(kind)
    if not usage or size is None or name is None:
        return {}
    tokens = cells.amount(usage.replace(",", ""), "usage", row.number) * size
    if tokens != tokens.to_integral_value():
        raise Unreadable(f"{usage[:40]!r} {unit} are no whole tokens", row.number)
    return {name: cells.whole(str(int(tokens)), "usage", row.number)}


def _dashscope_class(kind: str) -> str | None:
    if "output" in kind:
        is_thought = "think" in kind or "reason" in kind
        return "reasoning_output_tokens" if is_thought else "output_tokens"
    if "cache" in kind:
        is_write = "creat" in kind or "write" in kind
        return "cache_write_tokens" if is_write else "cached_input_tokens"
    return "input_tokens" if "input" in kind else None


# --- anybody else: a table with these names -----------------------------------------------------

_PLAIN_COUNTS = {name.replace("_", ""): name for name in COUNTS}


def plain(sheet: Sheet) -> Iterator[Entry | None]:
    for row in sheet.rows():
        cost = row.get("cost", "amount")
        yield Entry(
            row.number,
            cells.day(row.get("day", "date"), row.number),
            cells.name(row.get("model"), "model", row.number),
            cells.optional_name(row.get("key", "account"), "key", row.number),
            {
                name: cells.whole(row.get(column), name, row.number)
                for column, name in _PLAIN_COUNTS.items()
                if row.get(column)
            },
            cells.amount(cost, "cost", row.number) if cost else None,
            cells.currency(row.get("currency"), row.number),
        )


PARSERS: dict[BillFormat, Parser] = {
    BillFormat.DEEPSEEK: deepseek,
    BillFormat.DASHSCOPE: dashscope,
    BillFormat.PLAIN: plain,
}
# The zone of days that name none.
OFFSET_HOURS = {BillFormat.DEEPSEEK: 0, BillFormat.DASHSCOPE: 8, BillFormat.PLAIN: 0}


def recognize(sheet: Sheet) -> BillFormat:
    """By its columns. Raises `Unreadable` with what was looked for."""
    columns = set(sheet.columns)
    if sheet.has("model") and columns & set(_DEEPSEEK_DAY) and (
        sheet.has("type", "amount") or sheet.has("wallettype", "cost")
    ):  # fmt: skip
        return BillFormat.DEEPSEEK
    if columns & set(_INSTANCE) and columns & set(_DAY) and columns & set(_COST):
        return BillFormat.DASHSCOPE
    if sheet.has("model") and columns & {"day", "date"} and columns & {*_PLAIN_COUNTS, "cost"}:
        return BillFormat.PLAIN
    raise Unreadable(
        f"{sheet.name}: its columns are no bill's. Looked for: model, utc_date, type, amount"
        " (DeepSeek); instance ID, billing date, payable amount (Alibaba Cloud); or day, model"
        " and counts or cost."
    )
