from datetime import UTC, date, datetime

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import Project
from billing import invoices, rollups
from billing.models import Invoice
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return scenes.make_organization()


def _last_month() -> date:
    return invoices._bounds(timezone.now().date())[0].date().replace(day=1) - date.resolution


def _use_last_month(organization, **changes):
    record = scenes.use(organization, **changes)
    month = _last_month()
    scenes.charge_at(record, datetime(month.year, month.month, 15, tzinfo=UTC))
    return record


def test_close_month_sums_usage_per_project_and_model(organization) -> None:
    side = Project.objects.create(organization=organization, name="Side")
    _use_last_month(organization)
    _use_last_month(organization)
    _use_last_month(organization, model="qwen-max")
    _use_last_month(organization, project_id=side.pk)
    scenes.use(organization)  # this month's
    [invoice] = invoices.close_month(_last_month()).invoices
    lines = [
        (line.project_name, line.model, line.requests, line.amount_nanos)
        for line in invoice.lines.all()
    ]
    assert lines == [
        ("Default", "qwen-max", 1, 2_240_000),
        ("Default", "qwen-plus", 2, 2 * scenes.PLUS_CHARGE_NANOS),
        ("Side", "qwen-plus", 1, scenes.PLUS_CHARGE_NANOS),
    ]
    assert invoice.total_nanos == 2_240_000 + 3 * scenes.PLUS_CHARGE_NANOS
    assert invoice.month == _last_month().replace(day=1)
    assert invoices.verify_invoice(invoice) == []


def test_close_month_bills_what_was_paid_and_not_what_the_operator_lost() -> None:
    poor = scenes.make_organization("Poor", credit_nanos=300_000)
    _use_last_month(poor, held_nanos=200_000)
    [invoice] = invoices.close_month(_last_month()).invoices
    assert invoice.total_nanos == 300_000
    assert invoices.verify_invoice(invoice) == []


def test_close_month_again_makes_nothing_new(organization) -> None:
    _use_last_month(organization)
    assert len(invoices.close_month(_last_month()).invoices) == 1
    assert invoices.close_month(_last_month()).invoices == []


def test_invoice_numbers_have_no_gaps(organization) -> None:
    others = [scenes.make_organization(f"Other {n}") for n in range(3)]
    for one in (organization, *others):
        _use_last_month(one)
    invoices.close_month(_last_month(), others[2])
    invoices.close_month(_last_month())
    assert sorted(Invoice.objects.values_list("number", flat=True)) == [1, 2, 3, 4]
    assert Invoice.objects.get(number=1).organization == others[2]


def test_a_month_that_is_not_over_is_refused(organization) -> None:
    with pytest.raises(invoices.MonthNotOver):
        invoices.close_month(timezone.now().date())
    future = timezone.now().date().replace(year=timezone.now().year + 1)
    with pytest.raises(invoices.MonthNotOver):
        invoices.close_month(future, allow_current=True)


def test_charges_belong_to_the_month_in_utc_they_were_booked_in(organization) -> None:
    edges = {
        datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC): date(2026, 3, 1),
        datetime(2026, 4, 1, tzinfo=UTC): date(2026, 4, 1),
        datetime(2026, 4, 30, 23, 59, 59, 999_999, tzinfo=UTC): date(2026, 4, 1),
        datetime(2026, 5, 1, tzinfo=UTC): date(2026, 5, 1),
    }
    for moment in edges:
        scenes.charge_at(scenes.use(organization), moment)
    [invoice] = invoices.close_month(date(2026, 4, 1)).invoices
    assert [line.requests for line in invoice.lines.all()] == [2]


def test_usage_that_differs_from_the_ledger_is_not_invoiced_and_blocks_nobody(organization) -> None:
    other = scenes.make_organization("Other")
    record = _use_last_month(organization)
    _use_last_month(other)
    with scenes.tampering("billing_transfer"):
        scenes.execute("UPDATE billing_transfer SET amount_nanos = 1 WHERE id = %s", record.pk)
    closing = invoices.close_month(_last_month())
    assert closing.refused_organizations == [organization.pk]
    assert [invoice.organization for invoice in closing.invoices] == [other]


def test_verify_invoice_names_what_differs(organization) -> None:
    _use_last_month(organization)
    [invoice] = invoices.close_month(_last_month()).invoices
    project = organization.projects.get()
    with scenes.tampering("billing_invoice"):
        Invoice.objects.filter(pk=invoice.pk).update(total_nanos=10**12)
    assert invoices.verify_invoice(invoice) == ["total", "cents"]
    with scenes.tampering("billing_invoiceline"):
        invoice.lines.update(requests=2)
    assert invoices.verify_invoice(invoice) == [
        f"line qwen-plus of project {project.pk}",
        "total",
        "cents",
    ]


def test_the_command_closes_a_running_month_only_when_told_to(organization, capsys) -> None:
    scenes.use(organization)
    month = f"{timezone.now():%Y-%m}"
    with pytest.raises(CommandError, match="is not over"):
        call_command("close_month", month)
    call_command("close_month", month, allow_current=True, json=True)
    assert '"total_usd": "0.00052"' in capsys.readouterr().out
    with pytest.raises(CommandError, match="no month"):
        call_command("close_month", "2026-13")


@pytest.mark.django_db(transaction=True)
def test_due_months_are_closed_an_hour_after_their_end_and_once() -> None:
    organization = scenes.make_organization()
    _use_last_month(organization)
    scenes.wait_until_visible()
    rollups.roll_up()
    month_start = invoices._bounds(timezone.now().date())[0]
    with time_machine.travel(month_start.replace(minute=59), tick=False):
        assert invoices.close_due_months() == 0
    assert invoices.close_due_months() == 1
    assert invoices.close_due_months() == 0
