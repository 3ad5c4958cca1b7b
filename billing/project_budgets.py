"""What a project may spend in a UTC month, and what it has spent."""

from django.db import transaction
from django.db.models import Sum

from accounts import audit
from accounts.models import Project
from billing.models import ProjectBudget, UsageDay
from billing.periods import today


def set_budget(project: Project, nanos: int | None) -> None:
    """Cap the project at `nanos` a month; None takes the cap away. Gateways learn of it when this
    commits. A cap set anew begins with what the usage pages say of this month so far."""
    with transaction.atomic():
        row = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        before = row.budget_month_nanos
        if before == nanos:
            return
        row.budget_month_nanos = project.budget_month_nanos = nanos
        row.save(update_fields=["budget_month_nanos"])
        if before is None:
            _begin(row)
        audit.record(
            "project.budget_changed",
            row.organization,
            row.name,
            id=row.pk,
            before_nanos=before,
            after_nanos=nanos,
        )


def _begin(project: Project) -> None:
    month = today().replace(day=1)
    spent = spent_this_month(project.organization_id).get(project.pk, 0)
    ProjectBudget.objects.update_or_create(
        project_id=project.pk, defaults={"month": month, "month_nanos": spent}
    )


def spent_this_month(organization_id: int) -> dict[int, int]:
    """Nanos charged in the current UTC month by project, from the rollups."""
    days = UsageDay.objects.filter(organization_id=organization_id, day__gte=today().replace(day=1))
    rows = days.order_by().values_list("project_id").annotate(nanos=Sum("charge_nanos"))
    return {project_id: int(nanos) for project_id, nanos in rows}
