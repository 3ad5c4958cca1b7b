"""What gateways and probes report of the service itself: kept for the status page."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _


class State(models.IntegerChoices):
    """How a component is, the worse the greater."""

    UP = 1, _("Operational")
    DEGRADED = 2, _("Degraded")
    DOWN = 3, _("Down")


class Heartbeat(models.Model):
    """One gateway process, as it last reported itself: every few seconds."""

    process = models.UUIDField(primary_key=True, editable=False)
    at = models.DateTimeField(db_index=True)
    # {"parts": {name: "ok" | "degraded" | "unavailable"}, "channels": {id: [attempts, failures]}},
    # the failures in a row.
    facts = models.JSONField()

    def __str__(self) -> str:
        return f"{self.process} at {self.at}"


class ProbeMinute(models.Model):
    """What one minute's probe found of one component. Kept for two days."""

    component = models.CharField(max_length=140)  # "api", "provider:alibaba", "model:qwen-max"
    minute = models.DateTimeField(db_index=True)
    state = models.SmallIntegerField(choices=State)
    milliseconds = models.IntegerField(null=True)
    note = models.CharField(max_length=200)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="probe_minute_once", fields=["component", "minute"])
        ]

    def __str__(self) -> str:
        return f"{self.component} {self.minute} {self.state}"


class ProbeDay(models.Model):
    """A component's minutes of one UTC day, counted by state. Kept for ninety days."""

    component = models.CharField(max_length=140)
    day = models.DateField()
    up = models.IntegerField()
    degraded = models.IntegerField()
    down = models.IntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(name="probe_day_once", fields=["component", "day"])
        ]

    def __str__(self) -> str:
        return f"{self.component} {self.day}"


class Incident(models.Model):
    """The minutes in which a component was not up, from the first bad one to the next good one."""

    component = models.CharField(max_length=140)
    state = models.SmallIntegerField(choices=State)  # the worst it was in
    note = models.CharField(max_length=200)
    started_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="incident_open_once",
                fields=["component"],
                condition=models.Q(ended_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.component} from {self.started_at}"
