from tests import foundation  # noqa: F401  (lays plans and accounts after every flush)
