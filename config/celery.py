"""The Celery application. Rows are the queue: a message only wakes a worker to look at them."""

import os

from celery import Celery
from celery.signals import setup_logging, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("ttonkapi")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_logging(**_: object) -> None:
    """With a receiver, Celery leaves logging as the settings have it: masked."""


@worker_ready.connect
def _serve_metrics(**_: object) -> None:
    # Not before: the settings must not be read while this module is imported.
    from config import worker_metrics

    worker_metrics.serve()


@worker_ready.connect
def _look_for_orphans(**_: object) -> None:
    """Where workers are restarted again and again, the first message may never reach one."""
    app.tasks["billing.tasks.expire_holds"].apply()


def _every(task: str, seconds: float) -> dict[str, object]:
    """A beat entry whose message expires when the next one is due."""
    return {"task": task, "schedule": seconds, "options": {"expires": max(seconds, 1)}}


app.conf.beat_schedule = {
    "expire-holds": _every("billing.tasks.expire_holds", 5),
    "fold-deltas": _every("billing.tasks.fold_deltas", 5),
    "roll-up-usage": _every("billing.tasks.roll_up_usage", 10),
    "prune-measurements": _every("billing.tasks.prune_measurements", 3600),
    "probe-components": _every("gateway.tasks.probe_components", 60),
    "sum-past-days": _every("gateway.tasks.sum_past_days", 300),
    "mail-low-balances": _every("billing.tasks.mail_low_balances", 60),
    "send-mails": _every("accounts.tasks.send_mails", 2),
    "deliver-webhooks": _every("accounts.tasks.deliver_webhooks", 2),
    "prune-webhooks": _every("accounts.tasks.prune_webhooks", 600),
    "mail-spend-alerts": _every("billing.tasks.mail_spend_alerts", 300),
    "mail-spend-caps": _every("billing.tasks.mail_spend_caps", 30),
    "process-payment-events": _every("billing.tasks.process_payment_events", 3),
    "top-up-automatically": _every("billing.tasks.top_up_automatically", 15),
    "ask-about-payments": _every("billing.tasks.ask_about_payments", 60),
    "forget-customers": _every("billing.tasks.forget_customers", 3600),
    "renew-plans": _every("billing.tasks.renew_plans", 900),
    "make-partitions": _every("billing.tasks.make_partitions", 3600),
    "report-retention": _every("billing.tasks.report_retention", 86_400),
    "keep-margins": _every("billing.tasks.keep_margins", 300),
    "compare-bills": _every("billing.tasks.compare_bills", 86_400),
    "close-months": _every("billing.tasks.close_months", 3600),
}
