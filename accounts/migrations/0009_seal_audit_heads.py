"""Every organization has a chain from now on, if only an empty one, and every end has its seal."""

from typing import Any, ClassVar

from django.db import migrations

from accounts import audit


def seal(apps: Any, schema_editor: Any) -> None:
    heads = apps.get_model("accounts", "AuditHead").objects
    organizations = apps.get_model("accounts", "Organization").objects
    missing = organizations.exclude(pk__in=heads.values("chain")).values_list("pk", flat=True)
    model = heads.model
    heads.bulk_create((model(chain=pk) for pk in missing.iterator()), batch_size=1_000)
    for head in heads.filter(seal="").iterator():
        head.seal = audit.seal(head)
        head.save(update_fields=["seal"])


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0008_erasure")]

    operations: ClassVar = [migrations.RunPython(seal, migrations.RunPython.noop)]
