"""Tell every gateway process, at commit, what it must no longer believe.

Gateway processes keep principals and the catalog in memory and LISTEN on `ttonk_changes`.
Payloads: `key:<digest>`, `organization:<id>`, `principals` (all of them), `catalog`.
Nothing on the hot path writes these tables, but for `last_used_at` in batches, which is left out.
"""

from typing import ClassVar

from django.db import migrations

CATALOG_TABLES = ("provider", "model", "price", "pricerate", "channel")

FUNCTIONS = """
CREATE FUNCTION gateway_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ttonk_changes', TG_ARGV[0]);
    RETURN NULL;
END $$;

-- The first argument is the payload's word, the second the column that identifies the row.
CREATE FUNCTION gateway_tell_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('ttonk_changes', TG_ARGV[0] || ':' || (to_jsonb(OLD) ->> TG_ARGV[1]));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_notify('ttonk_changes', TG_ARGV[0] || ':' || (to_jsonb(NEW) ->> TG_ARGV[1]));
    END IF;
    RETURN NULL;
END $$;
"""

NO_FUNCTIONS = "DROP FUNCTION gateway_tell(); DROP FUNCTION gateway_tell_row();"


def _row(table: str, word: str, column: str, unless_only: str = "") -> migrations.RunSQL:
    """Triggers on one table's rows; an update that touches `unless_only` alone stays silent."""
    return migrations.RunSQL(
        f"""
        CREATE TRIGGER gateway_tell_made AFTER INSERT OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION gateway_tell_row('{word}', '{column}');
        CREATE TRIGGER gateway_tell_changed AFTER UPDATE ON {table} FOR EACH ROW
        WHEN (to_jsonb(NEW) - '{unless_only}' IS DISTINCT FROM to_jsonb(OLD) - '{unless_only}')
        EXECUTE FUNCTION gateway_tell_row('{word}', '{column}');
        """,
        f"DROP TRIGGER gateway_tell_changed ON {table}; DROP TRIGGER gateway_tell_made ON {table};",
    )


def _statement(table: str, payload: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"CREATE TRIGGER gateway_tell AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION gateway_tell('{payload}')",
        f"DROP TRIGGER gateway_tell ON {table}",
    )


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar = [
        ("accounts", "0001_initial"),
        ("billing", "0003_accounts_and_plans"),
        ("providers", "0001_initial"),
    ]

    operations: ClassVar = [
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        _row("accounts_apikey", "key", "digest", "last_used_at"),
        _row("accounts_organization", "organization", "id"),
        _row("billing_subscription", "organization", "organization_id", "low_balance_mailed_at"),
        _statement("billing_plan", "principals"),
        *(_statement(f"providers_{table}", "catalog") for table in CATALOG_TABLES),
    ]
