"""The operator's pages that need more than one app: organizations with their money, adjustments,
the catalog with its health, and payments."""

from gateway.admin import adjustments, bills, catalog, costs, organizations, payments, terms, usage

__all__ = [
    "adjustments",
    "bills",
    "catalog",
    "costs",
    "organizations",
    "payments",
    "terms",
    "usage",
]
