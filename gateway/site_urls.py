from django.urls import path

from billing.pages.departure import account_delete, account_gone
from gateway.pages import docs, key_detail, keys, models, onboarding, playground, site, status

urlpatterns = [
    path("", site.home, name="home"),
    path("openapi.json", site.openapi_document, name="openapi"),
    path("docs", docs.page, name="docs"),
    path("docs/search", docs.search, name="docs_search"),
    path("docs/<slug:slug>.md", docs.source, name="docs_source"),
    path("docs/<slug:slug>", docs.page, name="docs_page"),
    path("llms.txt", docs.llms, name="llms"),
    path("llms-full.txt", docs.llms_full, name="llms_full"),
    path("status", status.page, name="status"),
    path("status.json", status.document, name="status_json"),
    path("theme", site.theme, name="theme"),
    path("account/delete", account_delete, name="account_delete"),
    path("account/gone", account_gone, name="account_gone"),
    path("language", site.language, name="language"),
    path("welcome", onboarding.welcome, name="welcome"),
    path("welcome/first-request", onboarding.first_request, name="first_request"),
    path("models", models.catalog, name="models"),
    path("models/<path:name>", models.detail, name="model"),
    path("playground", playground.page, name="playground"),
    path("playground/key", playground.key, name="playground_key"),
    path("playground/turns/<str:request_id>", playground.turn, name="playground_turn"),
    path("keys", keys.key_list, name="keys"),
    path("keys/new", keys.key_new, name="key_new"),
    path("keys/<int:pk>", key_detail.key_detail, name="key"),
    path("keys/<int:pk>/change", keys.key_change, name="key_change"),
    path("keys/<int:pk>/rotate", keys.key_rotate, name="key_rotate"),
    path("keys/<int:pk>/revoke", keys.key_revoke, name="key_revoke"),
]
