"""What a new key's form accepts and refuses."""

import pytest

from accounts.key_forms import KeyForm
from tests import factories

pytestmark = pytest.mark.django_db


def form(**changes):
    organization = factories.OrganizationFactory.create()
    data = {"name": "Backend", "project": organization.projects.get().pk} | changes
    return KeyForm(data, organization=organization, models=["qwen-turbo"])


def test_addresses_become_canonical_networks():
    filled = form(allowed_addresses="203.0.113.7/24, 2001:db8::1\n198.51.100.4/32")
    assert filled.is_valid()
    assert filled.cleaned_data["allowed_addresses"] == [
        "203.0.113.0/24",
        "2001:db8::1",
        "198.51.100.4",
    ]


@pytest.mark.parametrize("text", ["example.com", "10.0.0.0/33", "300.1.1.1", "10.0.0.1-9"])
def test_what_is_no_address_is_refused_beside_the_field(text):
    assert "allowed_addresses" in form(allowed_addresses=text).errors


def test_spend_caps_become_nanos_without_rounding():
    filled = form(spend_cap_day_nanos="0.000000001", spend_cap_month_nanos="25")
    assert filled.is_valid()
    assert filled.cleaned_data["spend_cap_day_nanos"] == 1
    assert filled.cleaned_data["spend_cap_month_nanos"] == 25_000_000_000


@pytest.mark.parametrize("amount", ["-1", "1e99", "0.0000000001", "NaN"])
def test_amounts_that_are_no_money_are_refused(amount):
    assert "spend_cap_day_nanos" in form(spend_cap_day_nanos=amount).errors


def test_a_model_outside_the_catalog_is_refused():
    assert "allowed_models" in form(allowed_models=["gpt-17"]).errors


def test_an_expiry_in_the_past_is_refused():
    assert "expires_on" in form(expires="date", expires_on="2020-01-01").errors


def test_a_project_of_another_organization_is_refused():
    other = factories.OrganizationFactory.create()
    assert "project" in form(project=other.projects.get().pk).errors
