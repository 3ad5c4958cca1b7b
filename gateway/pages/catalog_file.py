"""The catalog taken out as a file, and taken in: shown first, done when confirmed."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import audit
from providers import catalog_file

_LOGGED_MAX = 100
_NEEDED = ("providers.change_model", "providers.add_model", "providers.add_price",
           "providers.change_channel", "providers.add_channel", "providers.change_provider",
           "providers.add_provider")  # fmt: skip


class CatalogForm(forms.Form):
    """A file, or what it says: a preview carries the text to its button."""

    file = forms.FileField(required=False, label=gettext_lazy("File"))
    text = forms.CharField(
        required=False, label=gettext_lazy("or its text"), max_length=catalog_file.BYTES_MAX,
        strip=False, widget=forms.Textarea(attrs={"rows": 8, "cols": 80, "spellcheck": "false"}),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        facts: dict[str, Any] = super().clean() or {}
        file = facts.get("file")
        if file is not None:
            if file.size > catalog_file.BYTES_MAX:
                raise forms.ValidationError(_("It is larger than a megabyte."))
            try:
                facts["text"] = file.read().decode()
            except UnicodeDecodeError:
                raise forms.ValidationError(_("It is not text.")) from None
        try:
            facts["changes"] = catalog_file.compare(facts.get("text", ""))
        except catalog_file.NotACatalog as error:
            raise forms.ValidationError(str(error)) from None
        return facts


def answer(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    if not request.user.has_perm("providers.view_model"):
        raise PermissionDenied
    if request.method == "GET" and "download" in request.GET:
        return _download()
    may_import = request.user.has_perms(_NEEDED)
    context |= {"title": _("Import and export"), "may_import": may_import}
    if request.method != "POST":
        return _page(request, context | {"form": CatalogForm()})
    if not may_import:
        raise PermissionDenied
    form = CatalogForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, context | {"form": form})
    changes = form.cleaned_data["changes"]
    if changes and "_confirmed" not in request.POST:
        return _page(request, context | {"changes": changes, "text": form.cleaned_data["text"]})
    if changes:
        _apply(changes)
    said = ngettext("%d row taken over.", "%d rows taken over.", len(changes)) % len(changes)
    return _page(request, context | {"form": CatalogForm(), "said": said})


def _apply(changes: list[catalog_file.Change]) -> None:
    with transaction.atomic():
        catalog_file.apply(changes)
        rows = {f"{one.kind} {one.name}": one.fields for one in changes[:_LOGGED_MAX]}
        audit.record("catalog.imported", None, f"{len(changes)} rows", changes=rows)


def _download() -> HttpResponse:
    name = f"catalog-{timezone.now():%Y-%m-%d}.json"
    return HttpResponse(
        catalog_file.write(),
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        },
    )


def _page(request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
    return TemplateResponse(request, "admin/desk/catalog_file.html", context)
