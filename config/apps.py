"""Which site the operator's pages are: stock Django's admin, with this product's own front page."""

from django.contrib.admin.apps import AdminConfig


class OperatorsConfig(AdminConfig):
    default_site = "gateway.operators.OperatorSite"
