"""Tables that are partitioned by their UUIDv7 id from the first migration on."""

from typing import Any

from django.db import migrations


class CreatePartitionedModel(migrations.CreateModel):
    """`CreateModel` for a table in ranges of its id, with a default partition below it.

    The default takes every row whose month has no partition, so that no insert is ever refused;
    the months' own partitions are made by `billing.partitions`.
    """

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        table = to_state.apps.get_model(app_label, self.name)._meta.db_table
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = plain + " PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain
        schema_editor.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
