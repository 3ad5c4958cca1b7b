"""Signing up, in and out: allauth's views, with limits per address in front.

allauth has limits of its own per account. These are over them: guessing is slow, an office still
gets in.
"""

from allauth.account import views as account
from allauth.mfa.base import views as second_factor
from allauth.mfa.webauthn import views as passkey

from accounts import limits

login = limits.posts("20/m", key="ip")(account.login)
signup = limits.posts("20/m", key="ip")(account.signup)
logout = account.logout
inactive = account.account_inactive
verification_sent = account.email_verification_sent
confirm_email = limits.posts("20/m", key="ip")(account.confirm_email)
password_reset = limits.posts("10/m", key="ip")(account.password_reset)
password_reset_done = account.password_reset_done
password_reset_from_key = limits.posts("10/m", key="ip")(account.password_reset_from_key)
password_reset_from_key_done = account.password_reset_from_key_done
second_factor_login = limits.posts("20/m", key="ip")(second_factor.authenticate)
passkey_login = limits.posts("20/m", key="ip")(passkey.login_webauthn)
