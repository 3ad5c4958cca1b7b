"""Data migrations on a database as it was: filled with the rows that customers had by then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.stack import PROJECT, create_database

USD = 10**9
NAME = f"ttonkapi_migrations_{os.getpid()}"
THIS_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

ORGANIZATIONS = """
INSERT INTO accounts_organization (id, name, slug, created_at)
SELECT n, 'Organization ' || n, 'organization-' || n, now() - interval '90 days'
FROM generate_series(1, 5) AS n;

INSERT INTO billing_subscription (organization_id, plan_id, started_at)
SELECT n, (SELECT id FROM billing_plan WHERE slug = slugs.slug), now() - interval '60 days'
FROM (VALUES (1, 'pro'), (2, 'business'), (3, 'pro'), (4, 'starter'), (5, 'pro'))
    AS slugs (n, slug);

INSERT INTO billing_account (kind, organization_id, debits_pending, debits_posted, credits_pending,
    credits_posted)
SELECT 'wallet', n, 0, 0, 0, 0 FROM generate_series(1, 5) AS n;
"""
# As the plan was paid for then: a fee once per plan and month, under a key that says which.
KEYS = """
INSERT INTO billing_idempotencykey (key, transfer_id)
SELECT format('plan_fee:%%s:%%s:%%s', n, p.id, month), gen_random_uuid()
FROM (VALUES (1, 'pro', %(this)s), (2, 'business', %(before)s)) AS paid (n, slug, month)
    JOIN billing_plan p ON p.slug = paid.slug
"""
FEES = """
INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state, held_nanos,
    amount_nanos, reason)
SELECT gen_random_uuid(), w.id, r.id, 'plan_fee', 'posted', 0, 20000000000, reason
FROM (VALUES ('Pro plan, 2026-10, chosen by ada@example.com'), ('Pro plan, 2026-11'))
        AS fee (reason),
    billing_account w, billing_account r
WHERE w.organization_id = 1 AND r.kind = 'revenue'
"""
INVOICES = """
INSERT INTO billing_invoice (number, organization_id, month, total_nanos, finalized_at)
VALUES (1, 1, '2026-08-01', 45312118204, now()), (2, 2, '2026-08-01', 4999999, now()),
    (3, 1, '2026-09-01', 5000000, now()), (4, 3, '2026-09-01', 0, now())
"""
LINES = """
INSERT INTO billing_invoiceline (invoice_id, project_name, project_id, model, requests,
    input_tokens, output_tokens, amount_nanos)
SELECT id, 'Default', 1, 'qwen-plus', 1, 10, 10, total_nanos FROM billing_invoice
"""
AUDIT = """
INSERT INTO accounts_auditentry (organization_id, sequence, actor_email, address, is_operator,
    action, target, details, created_at, previous_hash, hash)
VALUES (1, 1, 'ada@example.com', '', false, 'organization.created', 'x', '{}', now(), '', 'abc');
INSERT INTO accounts_audithead (chain, sequence, hash) VALUES (1, 1, 'abc');
"""


def migrate(url: str, *target: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", *target, "--verbosity", "0"],
        env=os.environ | {"DATABASE_URL": url}, cwd=PROJECT, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def moved() -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A database that was filled before plans had fees by the month, and is up to date now."""
    outer = urlsplit(os.environ["DATABASE_URL"])
    create_database(urlunsplit(outer), NAME)
    url = urlunsplit(outer._replace(path=f"/{NAME}"))
    migrate(url, "accounts", "0007")
    migrate(url, "billing", "0012")
    before = datetime(THIS_MONTH.year - 1, 12, 1) if THIS_MONTH.month == 1 else THIS_MONTH.replace(
        month=THIS_MONTH.month - 1
    )  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ORGANIZATIONS)
        months = {"this": f"{THIS_MONTH:%Y-%m}", "before": f"{before:%Y-%m}"}
        connection.execute(KEYS, months)
        for statement in (FEES, INVOICES, LINES, AUDIT):
            connection.execute(statement)
    migrate(url, "billing", "0013")
    migrate(url)
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection
    with psycopg.connect(urlunsplit(outer), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def rows(connection: psycopg.Connection[dict[str, Any]], statement: str) -> list[dict[str, Any]]:
    return connection.execute(statement).fetchall()


def test_old_invoices_have_an_issuer_cents_and_their_numbers(moved) -> None:
    found = rows(
        moved,
        "SELECT i.number, i.total_nanos, i.total_minor, i.tax_minor, i.tax_kind, s.code"
        " FROM billing_invoice i JOIN billing_issuer s ON s.id = i.issuer_id ORDER BY i.number",
    )
    assert [(row["number"], row["total_minor"]) for row in found] == [
        (1, 4_531), (2, 0), (3, 1), (4, 0),
    ]  # fmt: skip
    assert {(row["code"], row["tax_minor"], row["tax_kind"]) for row in found} == {
        ("INV", 0, "none")
    }
    lines = rows(moved, "SELECT kind, transfer_id FROM billing_invoiceline")
    assert [(line["kind"], line["transfer_id"]) for line in lines] == [("usage", None)] * 4


def test_plans_bought_go_on_and_plans_given_stay_free(moved) -> None:
    found = {
        row["organization_id"]: row
        for row in rows(moved, "SELECT * FROM billing_subscription ORDER BY organization_id")
    }
    month_end = (
        THIS_MONTH.replace(day=28) + (datetime(2026, 1, 5) - datetime(2026, 1, 1))
    ).replace(day=1)
    told = {
        pk: (row["paid_nanos_per_month"], row["due_at"], row["is_fee_waived"])
        for pk, row in found.items()
    }
    assert told == {
        1: (20 * USD, month_end, False),  # paid this month
        2: (0, month_end, False),  # paid in another month: begins with the next one
        3: (0, None, True),  # never paid: the operator gave it
        4: (0, None, False),
        5: (0, None, True),
    }


def test_a_finalised_invoice_from_before_is_guarded_like_any_other(moved) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never edited"):
        moved.execute("UPDATE billing_invoice SET total_minor = 1 WHERE number = 1")


def test_fees_name_nobody_any_more_and_are_guarded_again(moved) -> None:
    found = rows(moved, "SELECT reason FROM billing_transfer ORDER BY reason")
    assert [row["reason"] for row in found] == ["Pro plan, 2026-10", "Pro plan, 2026-11"]
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never edited"):
        moved.execute("UPDATE billing_transfer SET reason = 'x'")


def test_every_organization_has_a_sealed_end_of_its_audit_chain(moved) -> None:
    found = rows(moved, "SELECT chain, sequence, hash, seal FROM accounts_audithead ORDER BY chain")
    assert [(row["chain"], row["sequence"], row["hash"]) for row in found] == [
        (1, 1, "abc"), (2, 0, ""), (3, 0, ""), (4, 0, ""), (5, 0, ""),
    ]  # fmt: skip
    assert len({row["seal"] for row in found}) == 5
    assert all(len(row["seal"]) == 64 for row in found)
