"""Projects: named slices of an organization that keys belong to and spending is told apart by."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import allowances, audit, organizations
from accounts.models import ApiKey, Organization, Project
from accounts.webhooks import notices


class NameTaken(Exception):
    """Another project of the organization has this name, perhaps an archived one."""


class LastProject(Exception):
    """Keys need a project, and this is the only one."""


def create(organization: Organization, name: str) -> Project:
    """Raises `NameTaken` or `allowances.TooManyProjects`."""
    with transaction.atomic():
        allowances.check_projects(organizations.lock(organization.pk))
        try:
            with transaction.atomic():
                project = Project.objects.create(organization=organization, name=name)
        except IntegrityError:
            raise NameTaken from None
        audit.record("project.created", organization, name, id=project.pk)
    return project


def rename(project: Project, name: str) -> None:
    """Usage and keys follow the project, whatever it is called. Raises `NameTaken`."""
    before = project.name
    if name == before:
        return
    with transaction.atomic():
        try:
            with transaction.atomic():
                Project.objects.filter(pk=project.pk).update(name=name)
        except IntegrityError:
            raise NameTaken from None
        project.name = name
        audit.record("project.renamed", project.organization, name, before=before, id=project.pk)


def archive(project: Project) -> int:
    """Put a project away and revoke its live keys; returns how many those were. Raises
    `LastProject`."""
    with transaction.atomic():
        organization = organizations.lock(project.organization_id)
        others = organization.projects.filter(archived_at=None).exclude(pk=project.pk)
        if not others.exists():
            raise LastProject
        now = timezone.now()
        if not Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=now):
            return 0
        revoked = ApiKey.objects.filter(project=project, revoked_at=None).update(revoked_at=now)
        closed = ApiKey.objects.filter(project=project, revoked_at=now).lasting()
        notices.keys_revoked(
            closed.select_related("organization", "project", "created_by").order_by("pk")
        )
        audit.record("project.archived", organization, project.name, id=project.pk, keys=revoked)
    return revoked


def restore(project: Project) -> None:
    """Offer it for new keys again; its old keys stay revoked. Raises
    `allowances.TooManyProjects`."""
    with transaction.atomic():
        organization = organizations.lock(project.organization_id)
        archived = Project.objects.filter(pk=project.pk).exclude(archived_at=None)
        if not archived.exists():
            return
        allowances.check_projects(organization)
        if archived.update(archived_at=None):
            audit.record("project.restored", organization, project.name, id=project.pk)
