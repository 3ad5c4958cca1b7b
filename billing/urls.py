from django.urls import path

from billing.pages import projects
from billing.pages.closing import organization_delete
from billing.pages.details import details
from billing.pages.exports import requests_csv, usage_csv
from billing.pages.invoices import (
    credit_note_pdf,
    credit_note_xml,
    invoice,
    invoice_csv,
    invoice_pdf_file,
    invoice_xml_file,
    invoices,
)
from billing.pages.limits import alert_remove, spend_cap, spend_limits
from billing.pages.movements import movements, movements_csv
from billing.pages.overview import overview
from billing.pages.payment import automatic_off, method_new, method_remove, payment
from billing.pages.plans import change_plan, plan, plans
from billing.pages.requests import latest_requests, request_detail, requests
from billing.pages.top_up import order, order_cancel, redeem, top_up
from billing.pages.usage import usage
from billing.pages.wallet import billing
from billing.pages.webhooks import webhook

urlpatterns = [
    path("overview", overview, name="overview"),
    path("usage", usage, name="usage"),
    path("usage.csv", usage_csv, name="usage_csv"),
    path("requests", requests, name="requests"),
    path("requests.csv", requests_csv, name="requests_csv"),
    path("requests/latest", latest_requests, name="requests_latest"),
    path("requests/<str:request_id>", request_detail, name="request"),
    path("billing", billing, name="billing"),
    path("billing/history", movements, name="movements"),
    path("billing/history.csv", movements_csv, name="movements_csv"),
    path("billing/top-up", top_up, name="top_up"),
    path("billing/top-up/<slug:reference>", order, name="order"),
    path("billing/top-up/<slug:reference>/cancel", order_cancel, name="order_cancel"),
    path("billing/redeem", redeem, name="redeem"),
    path("billing/payment", payment, name="payment"),
    path("billing/payment/automatic-off", automatic_off, name="automatic_off"),
    path("billing/payment/cards/new", method_new, name="method_new"),
    path("billing/payment/cards/remove", method_remove, name="method_remove"),
    path("billing/limits", spend_limits, name="spend_limits"),
    path("billing/limits/cap", spend_cap, name="spend_cap"),
    path("billing/limits/alerts/<int:pk>/remove", alert_remove, name="alert_remove"),
    path("billing/details", details, name="billing_details"),
    path("billing/plans", plans, name="plans"),
    path("billing/plans/<slug:slug>", plan, name="plan"),
    path("billing/plans/<slug:slug>/change", change_plan, name="plan_change"),
    path("billing/invoices", invoices, name="invoices"),
    path("billing/invoices/<slug:number>", invoice, name="invoice"),
    path("billing/invoices/<slug:number>.csv", invoice_csv, name="invoice_csv"),
    path("billing/invoices/<slug:number>.xml", invoice_xml_file, name="invoice_xml"),
    path("billing/invoices/<slug:number>.pdf", invoice_pdf_file, name="invoice_pdf"),
    path(
        "billing/invoices/<slug:number>/credit-notes/<int:note>.xml",
        credit_note_xml,
        name="credit_note_xml",
    ),
    path(
        "billing/invoices/<slug:number>/credit-notes/<int:note>.pdf",
        credit_note_pdf,
        name="credit_note_pdf",
    ),
    path("webhooks/<slug:provider>", webhook, name="webhook"),
    path("settings/projects", projects.project_list, name="projects"),
    path("settings/projects/new", projects.project_new, name="project_new"),
    path("settings/projects/<int:pk>", projects.project, name="project"),
    path("settings/projects/<int:pk>/archive", projects.project_archive, name="project_archive"),
    path("settings/projects/<int:pk>/restore", projects.project_restore, name="project_restore"),
    path("settings/delete", organization_delete, name="organization_delete"),
]
