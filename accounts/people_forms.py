"""Forms about an organization and its people."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Role


def with_plans(words: str) -> SafeString:
    """An error about what the plan allows, with the way to another one."""
    return format_html('{} <a href="{}">{}</a>', words, reverse("plans"), _("Compare plans"))


class RoleField(forms.ChoiceField):
    """One of the roles that may be given here, named as pages name them."""

    def __init__(self, roles: Iterable[Role] = (), **kwargs: Any) -> None:
        super().__init__(
            label=_("Role"), choices=[(one.value, one.label) for one in roles], **kwargs
        )


class InvitationForm(forms.Form):
    email = forms.EmailField(
        label=_("Email"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "placeholder": "bob@example.com"}),
    )

    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles, initial=Role.DEVELOPER)


class RoleForm(forms.Form):
    def __init__(self, *args: Any, roles: Iterable[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"] = RoleField(roles)


class MemberChoiceField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.user.email} · {obj.get_role_display()}"


class HandOverForm(forms.Form):
    """To whom the organization goes: another member."""

    member = MemberChoiceField(
        queryset=Membership.objects.none(), label=_("New owner"), empty_label=None
    )

    def __init__(self, *args: Any, owner: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Membership.objects.filter(organization=owner.organization_id)
        self.fields["member"].queryset = (  # type: ignore[attr-defined]
            others.exclude(pk=owner.pk).select_related("user").order_by("user__email")
        )


class TypedNameForm(forms.Form):
    """The organization's name, typed by whoever is about to delete it."""

    name = forms.CharField(
        label=_("Type the organization’s name to confirm"),
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._name = name

    def clean_name(self) -> str:
        typed: str = self.cleaned_data["name"]
        if typed.strip() != self._name.strip():
            raise ValidationError(_("That is not its name."))
        return typed


class AuditFilterForm(forms.Form):
    """What the log is narrowed to. Anything that does not fit is left out."""

    subject = forms.ChoiceField(label=_("About"), required=False)
    who = forms.CharField(
        label=_("By"),
        required=False,
        max_length=254,
        widget=forms.TextInput(attrs={"placeholder": "alice@example.com", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, subjects: Iterable[tuple[str, Any]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["subject"].choices = [  # type: ignore[attr-defined]
            ("", _("Everything")),
            *subjects,
        ]
