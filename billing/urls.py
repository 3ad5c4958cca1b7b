from django.urls import path

from billing.pages.exports import requests_csv, usage_csv
from billing.pages.overview import overview
from billing.pages.requests import latest_requests, request_detail, requests
from billing.pages.usage import usage
from billing.pages.wallet import billing, change_plan, invoice, plan
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
    path("billing/plans/<slug:slug>", plan, name="plan"),
    path("billing/plans/<slug:slug>/change", change_plan, name="plan_change"),
    path("billing/invoices/<int:number>", invoice, name="invoice"),
    path("webhooks/<slug:provider>", webhook, name="webhook"),
]
