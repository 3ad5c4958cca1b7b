"""What tables are called on the operator's pages: one and many of each.

Set here and not in the models: nobody else reads them, and they cost no migration. The names of
columns are in `gateway.admin.field_words`.
"""

from typing import Any

from django.apps import apps
from django.utils.translation import gettext_lazy as _

from gateway.admin.field_words import FIELDS

APPS = ("accounts", "providers", "billing", "gateway")
_Words = Any
MODELS: dict[str, tuple[_Words, _Words]] = {
    "accounts.apikey": (_("API key"), _("API keys")),
    "accounts.auditentry": (_("audit entry"), _("audit entries")),
    "accounts.audithead": (_("end of an audit chain"), _("ends of audit chains")),
    "accounts.invitation": (_("invitation"), _("invitations")),
    "accounts.membership": (_("membership"), _("memberships")),
    "accounts.organization": (_("organization"), _("organizations")),
    "accounts.outgoingmail": (_("waiting mail"), _("waiting mails")),
    "accounts.project": (_("project"), _("projects")),
    "accounts.seendevice": (_("known device"), _("known devices")),
    "accounts.user": (_("person"), _("people")),
    "accounts.webhookattempt": (_("webhook attempt"), _("webhook attempts")),
    "accounts.webhookdelivery": (_("webhook delivery"), _("webhook deliveries")),
    "accounts.webhookendpoint": (_("webhook endpoint"), _("webhook endpoints")),
    "accounts.webhookevent": (_("webhook event"), _("webhook events")),
    "billing.account": (_("ledger account"), _("ledger accounts")),
    "billing.accountdelta": (_("booking to fold"), _("bookings to fold")),
    "billing.adjustmentrequest": (_("adjustment"), _("adjustments")),
    "billing.archive": (_("archive"), _("archives")),
    "billing.archivedaccount": (_("archived ledger account"), _("archived ledger accounts")),
    "billing.archivedusage": (_("archived usage"), _("archived usage")),
    "billing.autotopup": (_("automatic top-up"), _("automatic top-ups")),
    "billing.billingdetails": (_("billing details"), _("billing details")),
    "billing.costday": (_("cost of a day"), _("costs by day")),
    "billing.creditnote": (_("credit note"), _("credit notes")),
    "billing.dispute": (_("dispute"), _("disputes")),
    "billing.idempotencykey": (_("idempotency key"), _("idempotency keys")),
    "billing.invoice": (_("invoice"), _("invoices")),
    "billing.invoiceline": (_("invoice line"), _("invoice lines")),
    "billing.issuer": (_("issuer"), _("issuers")),
    "billing.keybudget": (_("spend of a capped key"), _("spend of capped keys")),
    "billing.latencyday": (_("latency of a day"), _("latency by day")),
    "billing.modelhour": (_("hour of a model"), _("hours of models")),
    "billing.organizationday": (_("day of an organization"), _("days of organizations")),
    "billing.paymentcustomer": (_("customer of a provider"), _("customers of providers")),
    "billing.paymentevent": (_("payment message"), _("payment messages")),
    "billing.paymentorder": (_("payment"), _("payments")),
    "billing.plan": (_("plan"), _("plans")),
    "billing.plancharge": (_("plan charge"), _("plan charges")),
    "billing.projectbudget": (_("spend of a project"), _("spend of projects")),
    "billing.reconciledday": (_("reconciled day"), _("reconciled days")),
    "billing.redeemcode": (_("redeem code"), _("redeem codes")),
    "billing.rollupwatermark": (_("watermark of the sums"), _("watermark of the sums")),
    "billing.spendalert": (_("spend alert"), _("spend alerts")),
    "billing.streamprogress": (_("progress of a stream"), _("progress of streams")),
    "billing.subscription": (_("subscription"), _("subscriptions")),
    "billing.sweep": (_("sweep of holds"), _("sweeps of holds")),
    "billing.taxrule": (_("tax rule"), _("tax rules")),
    "billing.transfer": (_("transfer"), _("transfers")),
    "billing.upstreambill": (_("upstream bill"), _("upstream bills")),
    "billing.upstreambillline": (_("line of an upstream bill"), _("lines of upstream bills")),
    "billing.upstreamhour": (_("hour of an upstream"), _("hours of upstreams")),
    "billing.usageday": (_("usage of a day"), _("usage by day")),
    "billing.usagehour": (_("usage of an hour"), _("usage by hour")),
    "billing.usagerecord": (_("request"), _("requests")),
    "gateway.heartbeat": (_("heartbeat"), _("heartbeats")),
    "gateway.incident": (_("incident"), _("incidents")),
    "gateway.probeday": (_("probes of a day"), _("probes by day")),
    "gateway.probeminute": (_("probe"), _("probes")),
    "providers.channel": (_("channel"), _("channels")),
    "providers.model": (_("model"), _("models")),
    "providers.price": (_("price"), _("prices")),
    "providers.pricerate": (_("rate"), _("rates")),
    "providers.provider": (_("provider"), _("providers")),
    "providers.upstreamprice": (_("upstream price"), _("upstream prices")),
    "providers.upstreamrate": (_("upstream rate"), _("upstream rates")),
}


def apply() -> None:
    """Give every table and column its words; one without keeps Django's own."""
    for app in APPS:
        for model in apps.get_app_config(app).get_models():
            label = model._meta.label_lower
            if label in MODELS:
                one, many = MODELS[label]
                model._meta.verbose_name, model._meta.verbose_name_plural = one, many
            for field in model._meta.concrete_fields:
                words = FIELDS.get(f"{label}.{field.name}") or FIELDS.get(field.name)
                if words:
                    field.verbose_name = words
