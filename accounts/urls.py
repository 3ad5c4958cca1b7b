from django.urls import path

from accounts import views

urlpatterns = [
    # Before allauth's own, under the same names: the same views with a limit in front.
    path("accounts/login/", views.login, name="account_login"),
    path("accounts/signup/", views.signup, name="account_signup"),
    path("accounts/password/reset/", views.password_reset, name="account_reset_password"),
    path("account", views.account, name="account"),
    path("organizations/switch", views.switch_organization, name="organization_switch"),
    path("organizations/new", views.new_organization, name="organization_new"),
]
