"""Files as providers make them, and as nobody should: read exactly, or refused with the row."""

import io
import zipfile
from datetime import date
from decimal import Decimal

import pytest

from billing.bills import reading, sheets
from billing.bills.sheets import Unreadable
from billing.models import BillFormat
from tests.billing.bills import files

DAY = date(2026, 11, 3)


def _refusal(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        reading.read("bill.csv", data)
    return str(caught.value)


def test_deepseeks_amounts_are_counts_and_their_prices_a_cost() -> None:
    found = reading.read("amount.csv", files.deepseek_amounts())
    [line] = found.lines
    assert (found.format, found.rows, found.offset_hours) == (BillFormat.DEEPSEEK, 4, 0)
    assert (line.day, line.model, line.key, line.rows) == (DAY, "deepseek-flash", "prod", 4)
    assert line.counts == {
        "requests": 1, "input_tokens": 400, "cached_input_tokens": 600, "output_tokens": 100,
    }  # fmt: skip
    assert line.cost == Decimal("0.0001218")
    assert reading.nanos(line.cost, 10**9) == 121_800


def test_deepseeks_zip_takes_the_cost_from_the_file_that_says_what_was_paid() -> None:
    found = reading.read("usage.zip", files.deepseek_zip(cost="0.25"))
    costs = {line.key: line.cost for line in found.lines}
    assert costs == {"prod": None, "": Decimal("0.25")}
    assert (found.currency, found.has_usage, found.has_cost) == ("USD", True, True)


def test_deepseeks_times_name_their_zone() -> None:
    start = "u,2026-11-03T00:00:00+08:00,2026-11-04T00:00:00+08:00,m,k,sk"
    found = reading.read("a.csv", files.csv(files.AMOUNT_ISO, f"{start},output_tokens,,5"))
    assert (found.offset_hours, found.lines[0].day) == (8, DAY)
    assert not found.has_cost


def test_two_zones_in_one_file_are_refused() -> None:
    rows = [f"u,2026-11-0{n}T00:00:00+0{n}:00,x,m,k,sk,output_tokens,,5" for n in (1, 2)]
    assert _refusal(files.csv(files.AMOUNT_ISO, *rows)) == "row 3: another time zone than row 2"
    odd = "u,2026-11-03T00:00:00+05:30,x,m,k,sk,output_tokens,,5"
    assert "whole hours" in _refusal(files.csv(files.AMOUNT_ISO, odd))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_alibabas_bill_is_read_in_any_encoding_it_comes_in(encoding) -> None:
    text = files.alibaba(
        files.alibaba_row("input_token", "1.5", "千Tokens", "0.0012"),
        files.alibaba_row("input_token_cache", "200", "Token", "0.0000320"),
        files.alibaba_row("output_token", "80", "token", "0.00064"),
        files.alibaba_row("image_count", "3", "张", "0.6"),
        "2026-11,2026-11-03,OSS,存储,cn-shanghai;standard,12,GB,0.1,CNY",
    )
    found = reading.read("bill.csv", text.encode(encoding))
    [line] = found.lines
    assert (found.format, found.offset_hours, found.currency) == (BillFormat.DASHSCOPE, 8, "CNY")
    assert (found.rows, found.rows_skipped) == (5, 1)
    assert (line.model, line.key) == ("qwen-plus", "12345")
    assert line.counts == {"input_tokens": 1_500, "cached_input_tokens": 200, "output_tokens": 80}
    assert line.cost == Decimal("0.601872")
    assert found.decimals == 7


def test_alibabas_english_bill_with_tabs_and_other_columns_is_the_same() -> None:
    found = reading.read("bill.txt", files.csv(
        "Currency\tInstance ID\tUsage\tUsage Unit\tPretax Amount\tBilling Date\tRegion",
        "USD\t;l;qwen-max;thinking_output_token;app\t1,234\tTokens\t0.02\t2026/11/03 10:00:00\tx",
        newline="\r\n",
    ))  # fmt: skip
    [line] = found.lines
    assert (line.model, line.key, line.day) == ("qwen-max", "", DAY)
    assert (line.counts, line.cost) == ({"reasoning_output_tokens": 1_234}, Decimal("0.02"))


def test_a_plain_table_serves_everybody_else() -> None:
    found = reading.read("x.csv", files.csv(
        "Cost,Model,Day,Requests,Input tokens,Output_Tokens",
        "1.5E-7,m,20261103,2,10,20", "", "0.25,M,2026-11-03,1,,1",
    ))  # fmt: skip
    [line] = found.lines
    assert line.counts == {"requests": 3, "input_tokens": 10, "output_tokens": 21}
    assert line.cost == Decimal("0.25000015")


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("=1+1", "is no whole number"),
        ("=cmd|' /C calc'!A0", "is no whole number"),
        ("-5", "is no whole number"),
        ("+5", "is no whole number"),
        ("1e309", "is no whole number"),
        ("NaN", "is no whole number"),
        ("Infinity", "is no whole number"),
        ("0x10", "is no whole number"),
        ("1.5", "is no whole number"),
        ("٣", "is no whole number"),
        ("9" * 16, "cannot be"),
        ("9" * 400, "is no whole number"),
        ("", "is no whole number"),
    ],
)
def test_a_count_that_is_none_is_refused_with_its_row(cell, why) -> None:
    said = _refusal(files.csv(
        files.AMOUNT, "u,2026-11-03,m,k,sk,output_tokens,,7",
        f"u,2026-11-03,m,k,sk,output_tokens,,{cell}",
    ))  # fmt: skip
    assert said.startswith("row 3: amount is ")
    assert why in said
    assert len(said) < 120


@pytest.mark.parametrize(
    "cell",
    ["-0.5", "NaN", "1e309", "1E+9", "=0.5", "0,5", "9999999999", "Infinity", "١.٥", "1e-999"],
)
def test_a_cost_that_is_none_is_refused(cell) -> None:
    said = _refusal(files.csv(files.COST, f'u,2026-11-03,m,Paid,"{cell}",USD'))
    assert said.startswith("row 2: cost is ")


@pytest.mark.parametrize(
    "cell", ["2026-13-01", "2026-02-30", "03.11.2026", "yesterday", "2999-01-01", "=A1", "",
             "202611031", "2026-11-03T25:00:00Z"],
)  # fmt: skip
def test_a_day_that_is_none_is_refused(cell) -> None:
    assert _refusal(files.csv(files.COST, f"u,{cell},m,Paid,1,USD")).startswith("row 2: ")


def test_two_currencies_are_refused() -> None:
    rows = [f"u,2026-11-03,m,Paid,1,{currency}" for currency in ("USD", "CNY")]
    assert _refusal(files.csv(files.COST, *rows)) == "row 3: CNY after USD"
    assert "no currency" in _refusal(files.csv(files.COST, "u,2026-11-03,m,Paid,1,US$"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no header"),
        (b"\r\n\r\n", "no header"),
        (b"name,value\na,1\n", "columns are no bill's"),
        (files.AMOUNT.encode(), "no rows of usage"),
        (b"model,day,cost\nm,2026-11-03,1\x00\n", "NUL"),
        ("model,day,cost\nm,2026-11-03,1\n".encode("utf-16"), "NUL"),
        (b"model,day,cost\n\xff\xfe\xfd\n", "neither UTF-8 nor GBK"),
        (b"model,day,day,cost\nm,2026-11-03,2026-11-03,1\n", "two columns are called day"),
        (b'model,day,cost\n"m,2026-11-03,1\n', "no CSV"),
        (b"model,day,cost\nm,2026-11-03,1,2,3\n", "5 cells under 3 columns"),
        (b"PK\x03\x04nothing", "damaged"),
        (b"%PDF-1.7\n", "columns are no bill's"),
        (("model,day,cost\n" + "m" * 200 + ",2026-11-03,1\n").encode(), "is no name"),
        (b"model,day,cost\nm\x1b[31m,2026-11-03,1\n", "is no name"),
        (("model,day,cost\n" + "m" * 5_000 + ",2026-11-03,1\n").encode(), "longer than 4,000"),
        ((",".join(f"c{n}" for n in range(300)) + "\n").encode(), "300 columns"),
    ],
)  # fmt: skip
def test_what_is_no_bill_is_refused_and_says_why(data, why) -> None:
    assert why in _refusal(data)


def test_a_file_of_200_megabytes_is_refused_unread() -> None:
    assert _refusal(b"m" * (200 * 1024**2)) == "It is larger than 20 MB."


def test_a_zip_that_unpacks_to_200_megabytes_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("amount.csv", b"0" * (200 * 1024**2))
    assert len(out.getvalue()) < 1024**2
    assert _refusal(out.getvalue()) == "Unpacked it is larger than 20 MB."


def test_a_zip_of_many_or_no_tables_is_refused() -> None:
    for count in (0, sheets.MEMBERS_MAX + 1):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for n in range(count):
                archive.writestr(f"{n}.csv", "x")
            archive.writestr("readme.txt", "x")
        assert f"this has {count}" in _refusal(out.getvalue())


def test_more_rows_than_a_bill_has_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(sheets, "ROWS_MAX", 3)
    rows = ["u,2026-11-03,m,Paid,1,USD"] * 3
    assert "more than 3 rows" in _refusal(files.csv(files.COST, *rows))
    monkeypatch.setattr(reading, "LINES_MAX", 1)
    rows = ["u,2026-11-03,a,Paid,1,USD", "u,2026-11-03,b,Paid,1,USD"]
    assert "more than 1 days" in _refusal(files.csv(files.COST, *rows))


def test_a_format_that_was_asked_for_must_be_the_files() -> None:
    with pytest.raises(Unreadable, match="not those of: Alibaba Cloud bill"):
        reading.read("a.csv", files.deepseek_amounts(), wanted=BillFormat.DASHSCOPE)


@pytest.mark.parametrize(
    ("decimals", "per_unit", "step"),
    [(2, 10**9, 10_000_000), (12, 10**9, 1), (4, 140_000_000, 14_000)],
)
def test_the_last_decimal_is_worth_what_it_can_hide(decimals, per_unit, step) -> None:
    assert reading.step_nanos(decimals, per_unit) == step
