"""How a document's whole cents read."""

from django import template

from billing.money import format_minor

register = template.Library()


@register.filter
def money_minor(minor: int) -> str:
    return format_minor(minor)
