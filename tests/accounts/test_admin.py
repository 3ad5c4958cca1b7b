"""The admin: every model is there, the ledger cannot be touched, secrets are not shown."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.paginator import EmptyPage
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import lists
from accounts.models import ApiKey, Organization, User
from billing.models import (
    Account,
    AccountDelta,
    Archive,
    ArchivedAccount,
    ArchivedUsage,
    CostDay,
    IdempotencyKey,
    Invoice,
    InvoiceLine,
    KeyBudget,
    OrganizationDay,
    ProjectBudget,
    RollupWatermark,
    StreamProgress,
    Sweep,
    Transfer,
    UpstreamHour,
    UsageDay,
    UsageHour,
    UsageRecord,
)
from providers import seed
from providers.models import Channel, Model, Price, Provider
from tests import factories

pytestmark = pytest.mark.django_db

OURS = [
    model
    for app in ("accounts", "providers", "billing")
    for model in apps.get_app_config(app).get_models()
]
LEDGER = [
    Account,
    AccountDelta,
    Archive,
    ArchivedAccount,
    ArchivedUsage,
    CostDay,
    IdempotencyKey,
    Invoice,
    InvoiceLine,
    KeyBudget,
    OrganizationDay,
    ProjectBudget,
    RollupWatermark,
    StreamProgress,
    Sweep,
    Transfer,
    UpstreamHour,
    UsageDay,
    UsageHour,
    UsageRecord,
]


@pytest.fixture
def operator(client):
    client.force_login(User.objects.create_superuser("operator@example.com", "secret"))
    return client


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_model_has_a_list_that_opens_and_searches(operator, model):
    seed.plant({})
    factories.month_of_use(factories.OrganizationFactory.create(), days=2)
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    assert operator.get(url).status_code == 200
    assert operator.get(url, {"q": "1"}).status_code == 200


@pytest.mark.parametrize("model", LEDGER, ids=lambda model: model.__name__)
def test_nobody_adds_changes_or_deletes_the_ledger(model):
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("operator@example.com", "secret")
    here = admin.site._registry[model]
    assert not here.has_add_permission(request)
    assert not here.has_change_permission(request)
    assert not here.has_delete_permission(request)


def test_prices_are_added_and_never_edited():
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("operator@example.com", "secret")
    here = admin.site._registry[Price]
    assert here.has_add_permission(request)
    assert not here.has_change_permission(request)
    assert not here.has_delete_permission(request)


def test_a_channels_credential_goes_in_and_never_comes_back(operator):
    seed.plant({})
    channel = Channel.objects.create(
        provider=Provider.objects.all()[0],
        model=Model.objects.all()[0],
        base_url="https://upstream.example/v1",
        upstream_model="m",
        credential="sk-very-secret",
    )
    url = reverse("admin:providers_channel_change", args=[channel.pk])
    page = operator.get(url).content.decode()
    assert "sk-very-secret" not in page
    fields = {
        "provider": channel.provider_id,
        "model": channel.model_id,
        "base_url": channel.base_url,
        "upstream_model": "renamed",
        "priority": 1,
        "weight": 1,
        "name": "",
    }
    assert operator.post(url, fields | {"credential": ""}).status_code == 302
    channel.refresh_from_db()
    assert (channel.upstream_model, channel.credential) == ("renamed", "sk-very-secret")
    operator.post(url, fields | {"credential": "sk-new"})
    channel.refresh_from_db()
    assert channel.credential == "sk-new"


def test_a_key_is_revoked_by_the_action_and_its_digest_is_not_shown(operator):
    key = factories.key(factories.OrganizationFactory.create()).row
    page = operator.get(reverse("admin:accounts_apikey_change", args=[key.pk])).content.decode()
    assert key.digest not in page
    operator.post(
        reverse("admin:accounts_apikey_changelist"),
        {"action": "revoke", "_selected_action": [key.pk]},
    )
    assert ApiKey.objects.get().revoked_at is not None


def _shown(operator, model, **query) -> list:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return list(operator.get(url, query).context["cl"].result_list)


def test_a_request_is_found_by_its_id_as_on_the_wire_and_by_its_organization(operator):
    organization = factories.OrganizationFactory.create()
    factories.month_of_use(organization, days=1)
    factories.month_of_use(factories.OrganizationFactory.create(), days=1)
    record = UsageRecord.objects.filter(organization_id=organization.pk)[3]
    for text in (f"req_{record.pk.hex}", f" {record.pk} "):
        assert _shown(operator, UsageRecord, q=text) == [record]
    found = _shown(operator, UsageRecord, q=str(organization.pk))
    assert {one.organization_id for one in found} == {organization.pk}
    assert len(found) == UsageRecord.objects.filter(organization_id=organization.pk).count()
    assert _shown(operator, UsageRecord, q="9" * 30) == []
    transfer = Transfer.objects.all()[0]
    assert _shown(operator, Transfer, q=str(transfer.pk)) == [transfer]


def test_a_key_is_found_by_its_end_or_its_organization(operator):
    mine, other = factories.OrganizationFactory.create_batch(2)
    key = factories.key(mine, "Production").row
    factories.key(other, "Staging")
    for text in (key.last_four, mine.name, mine.slug.upper()):
        assert _shown(operator, ApiKey, q=text) == [key]
    assert _shown(operator, ApiKey, q="Production") == []


def test_an_organization_is_found_by_a_members_address(operator):
    mine, _ = factories.OrganizationFactory.create_batch(2)
    address = mine.members.get().email
    assert _shown(operator, Organization, q=address.upper()) == [mine]
    assert _shown(operator, Organization, q=address[1:]) == []


def test_a_large_list_is_counted_by_the_databases_estimate_over_all_partitions(monkeypatch):
    monkeypatch.setattr(lists, "COUNTED_MAX", 3)
    factories.month_of_use(factories.OrganizationFactory.create(), days=1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE billing_usagerecord")
    rows = UsageRecord.objects.order_by("-id")
    assert lists.LargeTablePaginator(rows, 5).count == rows.count() > 3
    with CaptureQueriesContext(connection) as asked:
        assert lists.LargeTablePaginator(rows, 5).num_pages > 0
    assert not [one["sql"] for one in asked if "COUNT" in one["sql"].upper()]
    assert lists.LargeTablePaginator(rows.exclude(model=""), 5).count == 3


def test_a_list_ends_after_a_bounded_number_of_pages(monkeypatch):
    monkeypatch.setattr(lists, "PAGES_MAX", 2)
    factories.UserFactory.create_batch(7)
    pages = lists.LargeTablePaginator(User.objects.order_by("-id"), 2)
    assert (pages.count, pages.num_pages) == (7, 2)
    with pytest.raises(EmptyPage):
        pages.page(3)
