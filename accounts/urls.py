from django.urls import path, re_path
from django.views.generic.base import RedirectView

from accounts import views
from accounts.pages import (
    audit_log,
    deliveries,
    entrance,
    invitation,
    members,
    organization,
    settings,
    webhooks,
)

# allauth's pages by allauth's names, each where a person would look for it.
_entrance = [
    path("accounts/login/", entrance.login, name="account_login"),
    path("accounts/logout/", entrance.logout, name="account_logout"),
    path("accounts/signup/", entrance.signup, name="account_signup"),
    path("accounts/inactive/", entrance.inactive, name="account_inactive"),
    path("accounts/code/", entrance.second_factor_login, name="mfa_authenticate"),
    path("accounts/passkey/", entrance.passkey_login, name="mfa_login_webauthn"),
    path("accounts/confirm-email/", entrance.verification_sent,
         name="account_email_verification_sent"),
    re_path(r"^accounts/confirm-email/(?P<key>[-:\w]+)/$", entrance.confirm_email,
            name="account_confirm_email"),
    path("accounts/password/reset/", entrance.password_reset, name="account_reset_password"),
    path("accounts/password/reset/done/", entrance.password_reset_done,
         name="account_reset_password_done"),
    path("accounts/password/reset/key/done/", entrance.password_reset_from_key_done,
         name="account_reset_password_from_key_done"),
    re_path(r"^accounts/password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
            entrance.password_reset_from_key, name="account_reset_password_from_key"),
]  # fmt: skip

_settings = [
    path("account", settings.profile, name="account"),
    path("account/email", settings.email, name="account_email"),
    path("account/password", settings.password, name="account_change_password"),
    path("account/password/set", settings.password_set, name="account_set_password"),
    path("account/confirm", settings.reauthenticate, name="account_reauthenticate"),
    path("account/confirm/code", settings.reauthenticate_with_code, name="mfa_reauthenticate"),
    path("account/confirm/passkey", settings.reauthenticate_with_passkey,
         name="mfa_reauthenticate_webauthn"),
    path("account/two-factor", settings.two_factor, name="mfa_index"),
    path("account/two-factor/app", settings.app_add, name="mfa_activate_totp"),
    path("account/two-factor/app/remove", settings.app_remove, name="mfa_deactivate_totp"),
    path("account/two-factor/codes", settings.recovery_code_list, name="mfa_view_recovery_codes"),
    path("account/two-factor/codes/file", settings.recovery_code_file,
         name="mfa_download_recovery_codes"),
    path("account/two-factor/codes/new", settings.recovery_codes_new,
         name="mfa_generate_recovery_codes"),
    path("account/passkeys", RedirectView.as_view(pattern_name="mfa_index"),
         name="mfa_list_webauthn"),
    path("account/passkeys/add", settings.passkey_add, name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/name", settings.passkey_name, name="mfa_edit_webauthn"),
    path("account/passkeys/<int:pk>/remove", settings.passkey_remove, name="mfa_remove_webauthn"),
    path("account/sessions", settings.session_list, name="sessions"),
    path("account/sessions/end", settings.end_sessions, name="sessions_end"),
    path("account/data", settings.data, name="account_data"),
    path("account/data/file", settings.export_data, name="account_export"),
    # Where password managers look.
    path(".well-known/change-password",
         RedirectView.as_view(pattern_name="account_change_password")),
]  # fmt: skip

_webhooks = [
    path("settings/webhooks", webhooks.endpoint_list, name="webhooks"),
    path("settings/webhooks/new", webhooks.endpoint_new, name="endpoint_new"),
    path("settings/webhooks/<int:pk>", webhooks.endpoint, name="endpoint"),
    path("settings/webhooks/<int:pk>/change", webhooks.endpoint_change, name="endpoint_change"),
    path("settings/webhooks/<int:pk>/rotate", webhooks.endpoint_rotate, name="endpoint_rotate"),
    path("settings/webhooks/<int:pk>/test", webhooks.endpoint_test, name="endpoint_test"),
    path("settings/webhooks/<int:pk>/switch", webhooks.endpoint_switch, name="endpoint_switch"),
    path("settings/webhooks/<int:pk>/delete", webhooks.endpoint_delete, name="endpoint_delete"),
    path("settings/webhooks/deliveries/<int:pk>", deliveries.delivery, name="delivery"),
    path(
        "settings/webhooks/deliveries/<int:pk>/again",
        deliveries.delivery_again,
        name="delivery_again",
    ),
]

urlpatterns = [
    *_entrance,
    *_settings,
    *_webhooks,
    path("organizations/switch", views.switch_organization, name="organization_switch"),
    path("impersonation/end", views.end_impersonation, name="impersonation_end"),
    path("organizations/new", views.new_organization, name="organization_new"),
    path("settings", organization.settings, name="settings"),
    path("settings/leave", organization.leave, name="organization_leave"),
    path("settings/owner", organization.hand_over, name="organization_hand_over"),
    path("settings/members", members.member_list, name="members"),
    path("settings/members/invite", members.invite, name="member_invite"),
    path("settings/members/<int:pk>", members.member, name="member"),
    path("settings/members/<int:pk>/remove", members.member_remove, name="member_remove"),
    path(
        "settings/invitations/<int:pk>/resend", members.invitation_resend, name="invitation_resend"
    ),
    path(
        "settings/invitations/<int:pk>/revoke", members.invitation_revoke, name="invitation_revoke"
    ),
    path("settings/audit-log", audit_log.audit_log, name="audit_log"),
    path("invitations/<str:token>", invitation.invitation, name="invitation"),
]
