"""/account/delete: what goes, what stays, and a confirmation typed by hand."""

from typing import cast

from allauth.account.decorators import reauthentication_required
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts import deletion
from accounts.account_forms import DeletionForm
from accounts.models import User
from accounts.pages.settings import private
from billing import departure


@private
@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
def account_delete(request: HttpRequest) -> HttpResponse:
    """The address has to be typed, after the password or second factor."""
    user = cast(User, request.user)
    form = DeletionForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_valid():
        try:
            departure.depart(user)
        except deletion.StillNeeded:
            return redirect("account_delete")
        except User.DoesNotExist:  # sent twice
            pass
        logout(request)
        return redirect("account_gone")
    owned = departure.look(user)
    context = {
        "form": form,
        "closed": [one for one in owned if one.is_closed],
        "stuck": [one for one in owned if not one.is_closed],
    }
    return render(request, "accounts/delete.html", context, status=422 if form.is_bound else 200)


def account_gone(request: HttpRequest) -> HttpResponse:
    """The last page."""
    return render(request, "accounts/gone.html")
