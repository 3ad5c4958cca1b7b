"""Forms whose fields say what they want."""

from typing import Any

from gateway.admin.help_words import HELP


class Helped:
    """For admin classes and inlines: the help of `HELP` under each field."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        above: Any = super()
        field = above.formfield_for_dbfield(db_field, request, **kwargs)
        help_text = HELP.get(f"{db_field.model._meta.label_lower}.{db_field.name}")
        if field is not None and help_text:
            field.help_text = help_text
        return field
