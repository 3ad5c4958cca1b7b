from django.urls import path

from gateway.pages import keys, onboarding, site

urlpatterns = [
    path("", site.home, name="home"),
    path("docs", site.docs, name="docs"),
    path("openapi.json", site.openapi_document, name="openapi"),
    path("theme", site.theme, name="theme"),
    path("welcome", onboarding.welcome, name="welcome"),
    path("welcome/first-request", onboarding.first_request, name="first_request"),
    path("keys", keys.key_list, name="keys"),
    path("keys/new", keys.key_new, name="key_new"),
    path("keys/<int:pk>/revoke", keys.key_revoke, name="key_revoke"),
]
