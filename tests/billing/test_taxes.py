import pytest

from billing import taxes
from billing.models import BillingDetails, Issuer, TaxKind, TaxRule

GERMANY = Issuer(pk=1, code="INV", country="DE")
RULES = [
    TaxRule(issuer=GERMANY, country="DE", rate_ppm=190_000),
    TaxRule(issuer=GERMANY, country="FR", rate_ppm=200_000, is_reverse_charged=True),
    TaxRule(issuer=GERMANY, country="GR", rate_ppm=240_000, is_reverse_charged=True),
    TaxRule(issuer=GERMANY, country="GB", rate_ppm=0),
]


@pytest.mark.parametrize(
    ("country", "vat_id", "kind", "rate_ppm"),
    [
        ("DE", "", TaxKind.STANDARD, 190_000),
        ("DE", "DE123456789", TaxKind.STANDARD, 190_000),
        ("FR", "", TaxKind.STANDARD, 200_000),
        ("FR", "FR 12 345678901", TaxKind.REVERSE, 0),
        ("FR", "DE123456789", TaxKind.STANDARD, 200_000),
        ("FR", "nonsense", TaxKind.STANDARD, 200_000),
        ("GR", "EL123456789", TaxKind.REVERSE, 0),
        ("GB", "", TaxKind.NONE, 0),
        ("CN", "", TaxKind.NONE, 0),
        ("", "FR12345678901", TaxKind.NONE, 0),
    ],
)
def test_the_tax_is_the_rule_of_the_customers_country(country, vat_id, kind, rate_ppm) -> None:
    details = BillingDetails(country=country, vat_id=vat_id)
    assert taxes.decide(GERMANY, RULES, details) == taxes.Tax(kind, rate_ppm)


def test_a_customer_who_states_nothing_pays_no_tax() -> None:
    assert taxes.decide(GERMANY, RULES, None) == taxes.Tax()


@pytest.mark.parametrize(
    ("nanos", "minor"),
    [(0, 0), (4_999_999, 0), (5_000_000, 1), (45_312_118_204, 4_531), (20 * 10**9, 2_000)],
)
def test_cents_are_rounded_half_up(nanos, minor) -> None:
    assert taxes.to_minor(nanos) == minor


@pytest.mark.parametrize(
    ("total", "rate_ppm", "tax"), [(11_900, 190_000, 1_900), (1, 190_000, 0), (5, 200_000, 1),
                                   (10_000, 0, 0), (3, 200_000, 1), (999, 55_000, 52)],
)  # fmt: skip
def test_the_tax_is_a_part_of_the_total(total, rate_ppm, tax) -> None:
    assert taxes.included(total, rate_ppm) == tax


@pytest.mark.parametrize(
    ("amounts", "total"),
    [([1, 1, 1], 100), ([20_000, -5_000, 7], 1_500), ([], 0), ([5], 7), ([3, 3, 3, 1], 0)],
)
def test_lines_cents_add_up_to_the_documents(amounts, total) -> None:
    parts = taxes.spread(amounts, total)
    assert sum(parts) == total
    assert len(parts) == len(amounts)
