"""Production: the base settings, and a refusal to start with anything unsafe."""

from django.core.exceptions import ImproperlyConfigured

from . import safety
from .base import *  # noqa: F403
from .base import (
    ALLOWED_HOSTS,
    DATABASE_URL,
    DEBUG,
    ENCRYPTION_KEYS,
    KEY_PEPPER,
    REDIS_URL,
    SECRET_KEY,
    env,
)

SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
LOCAL_MODEL_URL = ""
LOCAL_FALLBACK = False
WEBHOOK_LOCAL_NETWORKS = []

_unsafe = [
    *(["DEBUG must be off"] if DEBUG else []),
    *safety.weaknesses({"SECRET_KEY": SECRET_KEY, "TTONK_KEY_PEPPER": KEY_PEPPER}),
    *safety.key_weaknesses(ENCRYPTION_KEYS),
    *safety.host_dangers(ALLOWED_HOSTS),
    *safety.store_dangers(DATABASE_URL, REDIS_URL),
]
if _unsafe:
    raise ImproperlyConfigured("Not starting: " + "; ".join(_unsafe))
