"""Parts of a month, in whole UTC days and integer nanos.

A fee runs by the calendar month, UTC. A part of one is what the days left cost, the first
included, rounded down to the nano: `nanos * days_left // days_in_month`. So what is shown is what
is charged, until midnight.
"""

from datetime import UTC, date, datetime, timedelta


def end_of_month(day: date) -> datetime:
    """The moment the day's month is over."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return datetime(following.year, following.month, 1, tzinfo=UTC)


def last_day(day: date) -> date:
    return (end_of_month(day) - timedelta(days=1)).date()


def days_left(day: date) -> int:
    """Days of the month from `day` on, that day included."""
    return last_day(day).day - day.day + 1


def share(nanos_per_month: int, day: date) -> int:
    """What `nanos_per_month` comes to from `day` until the month's end, in nanos, rounded down."""
    return nanos_per_month * days_left(day) // last_day(day).day
