"""Production: the base settings, and a refusal to start with anything unsafe."""

from django.core.exceptions import ImproperlyConfigured

from .base import *  # noqa: F403
from .base import ALLOWED_HOSTS, DATABASE_URL, DEBUG, ENCRYPTION_KEYS, KEY_PEPPER, SECRET_KEY, env

SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
LOCAL_MODEL_URL = ""
LOCAL_FALLBACK = False

_SECRET_CHARS_MIN = 32
_unsafe = [
    name
    for name, wrong in {
        "DEBUG must be off": DEBUG,
        "SECRET_KEY needs 32 characters": len(SECRET_KEY) < _SECRET_CHARS_MIN,
        "TTONK_KEY_PEPPER needs 32 characters": len(KEY_PEPPER) < _SECRET_CHARS_MIN,
        "TTONK_ENCRYPTION_KEYS needs a Fernet key": not ENCRYPTION_KEYS,
        "ALLOWED_HOSTS is empty": not ALLOWED_HOSTS,
        "DATABASE_URL is empty": not DATABASE_URL,
        "synchronous_commit must stay on": "synchronous_commit%3Doff" in DATABASE_URL
        or "synchronous_commit=off" in DATABASE_URL,
    }.items()
    if wrong
]
if _unsafe:
    raise ImproperlyConfigured("Not starting: " + "; ".join(_unsafe))
