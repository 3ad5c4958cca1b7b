"""/account: a person's own settings. What allauth does stands here with our limits and headers."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast

from allauth.account import views as account
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as app
from allauth.mfa.webauthn import views as passkey
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_POST

from accounts import current, export, limits, sessions, users
from accounts.account_forms import ProfileForm
from accounts.models import User

P = ParamSpec("P")


def private(
    view: Callable[Concatenate[HttpRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """For the person signed in and nobody's cache, with a limit on what is sent."""
    limited: Any = limits.posts("20/m")(view)

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        response = cast(HttpResponse, limited(request, *args, **kwargs))
        response.headers["Cache-Control"] = "private, no-store"
        return response

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponse]", login_required(guarded))


@private
def profile(request: HttpRequest) -> HttpResponse:
    """Name and language, and the organizations one belongs to."""
    user = cast(User, request.user)
    first = {"name": user.name, "language": user.language or request.LANGUAGE_CODE}
    form = ProfileForm(request.POST or None, initial=first)
    if request.method == "POST" and form.is_valid():
        user.name = form.cleaned_data["name"].strip()
        user.save(update_fields=["name"])
        users.choose_language(user, form.cleaned_data["language"])
        response = redirect("account")
        users.remember_language(request, response, user.language)
        with override(user.language):
            messages.success(request, _("Saved."))
        return response
    context = {"form": form, "memberships": current.choices(request)}
    return render(request, "accounts/profile.html", context, status=422 if form.errors else 200)


@private
def session_list(request: HttpRequest) -> HttpResponse:
    """Where one is signed in."""
    found = sessions.listed(request, cast(User, request.user))
    return render(request, "accounts/sessions.html", {"sessions": found})


@require_POST
@private
def end_sessions(request: HttpRequest) -> HttpResponse:
    """One session, or all others."""
    user = cast(User, request.user)
    chosen = request.POST.get("session", "")
    if chosen == "others":
        sessions.end_others(request, user)
        messages.success(request, _("Every other session was signed out."))
    elif chosen.isdigit() and len(chosen) < 19 and sessions.end(user, int(chosen)):
        messages.success(request, _("That session was signed out."))
    else:
        messages.info(request, _("That session had ended already."))
    return redirect("sessions")


@private
def data(request: HttpRequest) -> HttpResponse:
    """What one may take along, and how to leave."""
    return render(request, "accounts/data.html")


@require_POST
@limits.posts("6/h")
@private
def export_data(request: HttpRequest) -> HttpResponse:
    """Everything kept about the person, as a file."""
    return cast(HttpResponse, export.respond(cast(User, request.user)))


email = private(account.email)
password = private(account.password_change)
password_set = private(account.password_set)
reauthenticate = private(account.reauthenticate)
two_factor = private(second_factor.index)
reauthenticate_with_code = private(second_factor.reauthenticate)
reauthenticate_with_passkey = private(passkey.reauthenticate_webauthn)
app_add = private(app.activate_totp)
app_remove = private(app.deactivate_totp)
recovery_code_list = private(recovery_codes.view_recovery_codes)
recovery_code_file = private(recovery_codes.download_recovery_codes)
recovery_codes_new = private(recovery_codes.generate_recovery_codes)
passkey_add = private(passkey.add_webauthn)
passkey_name = private(passkey.edit_webauthn)
passkey_remove = private(passkey.remove_webauthn)
