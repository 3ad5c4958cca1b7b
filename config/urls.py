"""Stock Django's routes: pages and admin. /v1 is answered in front of it (see config.asgi)."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("", include("billing.urls")),
    path("", include("gateway.site_urls")),
]

handler403 = "gateway.pages.errors.refused"
handler404 = "gateway.pages.errors.not_found"
handler500 = "gateway.pages.errors.failed"
