"""Lists as CSV files: what the list shows under its search and filters, as a stream of pieces."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone

from accounts import audit
from billing import csv_files

ROWS_MAX = 1_000_000
_PIECE_ROWS = 1_000


class ExportedAdmin(admin.ModelAdmin):
    """Adds "Download CSV" to the list. `export_header` and `export_rows` say what is in it."""

    change_list_template = "admin/desk/exported.html"
    export_header: ClassVar[Sequence[str]] = ()

    def export_rows(self, found: list[Any]) -> list[list[Any]]:
        """The lines of some rows of the list. Amounts are USD, times UTC."""
        raise NotImplementedError

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        here = self.admin_site.admin_view(self.export_view)
        return [path("export/", here, name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_changelist_instance(request)
        audit.record("data.exported", None, str(self.opts.verbose_name_plural),
                     kind=self.opts.label_lower, query=request.GET.urlencode())  # fmt: skip
        name = f"{self.opts.model_name}-{timezone.now():%Y-%m-%d}.csv"
        return csv_files.respond(name, self.export_header, self._pieces(found))

    def _pieces(self, found: ChangeList) -> Iterator[csv_files.Rows]:
        """From the newest on, by the key: whatever is added meanwhile, no row comes twice."""
        rows = found.queryset.order_by("-pk")
        last: Any = None
        for _ in range(ROWS_MAX // _PIECE_ROWS):
            piece = list((rows if last is None else rows.filter(pk__lt=last))[:_PIECE_ROWS])
            if not piece:
                return
            last = piece[-1].pk
            yield self.export_rows(piece)
