"""What the seeds' models can do, for installations that were seeded before this was kept."""

from typing import Any, ClassVar

from django.db import migrations

CAPABILITIES = {
    "qwen-turbo": ["thinking", "tools", "json"],
    "qwen-plus": ["thinking", "tools", "json"],
    "qwen-max": ["tools", "json"],
    "deepseek-chat": ["tools", "json"],
    "deepseek-reasoner": ["tools", "json"],
}


def fill(apps: Any, _editor: Any) -> None:
    models = apps.get_model("providers", "Model").objects
    for name, capabilities in CAPABILITIES.items():
        models.filter(name=name, capabilities=[]).update(capabilities=capabilities)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("providers", "0002_model_facts")]

    operations: ClassVar = [migrations.RunPython(fill, migrations.RunPython.noop)]
