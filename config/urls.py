"""Stock Django's routes: pages and admin. /v1 is answered in front of it (see config.asgi)."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

# Operators sign in where everybody does: with their second factor, under the same limits.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("billing.urls")),
    path("", include("gateway.site_urls")),
]

handler403 = "gateway.pages.errors.refused"
handler404 = "gateway.pages.errors.not_found"
handler429 = "gateway.pages.errors.too_many"
handler500 = "gateway.pages.errors.failed"
