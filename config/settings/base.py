"""Settings every deployment shares. Each value that differs comes from the environment.

`local` adds the private servers of `make run`, `test` the suite's, and `production` refuses
to start with anything a default would make unsafe.
"""

from pathlib import Path
from typing import Any

import dj_database_url
import environ

from config import logging as log_config
from config.settings import payments

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = environ.Env()

SECRET_KEY: str = env.str("SECRET_KEY", default="")
DEBUG: bool = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "config.apps.OperatorsConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "accounts",
    "providers",
    "ratelimits",
    "billing",
    "gateway",
]

# /v1 never passes through these: gateway.handler answers it in front of stock Django.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.SessionActivityMiddleware",
    "accounts.middleware.ImpersonationMiddleware",
    "accounts.middleware.CurrentOrganizationMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "gateway.context.site",
            ],
        },
    },
]

DATABASE_URL: str = env.str("DATABASE_URL", default="")
# Pages share this many connections in a gateway (config.serve sets it); 0 is one for each thread,
# kept for a minute, which is what workers and commands want.
_PAGE_CONNECTIONS_MAX: int = env.int("TTONK_PAGE_CONNECTIONS_MAX", default=0)
DATABASES: dict[str, Any] = {
    "default": {
        **dj_database_url.parse(
            DATABASE_URL or "postgres://", conn_max_age=0 if _PAGE_CONNECTIONS_MAX else 60
        ),
        "ENGINE": "django.db.backends.postgresql",
    }
}
if _PAGE_CONNECTIONS_MAX:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # one left from before a restart is not lent
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 0, "max_size": _PAGE_CONNECTIONS_MAX, "timeout": 10, "max_idle": 60,
    }  # fmt: skip
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL: str = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        # No page waits for a cache that does not answer.
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}
# django-ratelimit only knows other Redis back ends by name; Django's own counts atomically too.
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.E003", "django_ratelimit.W001"]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION: str = env.str("TTONK_EMAIL_VERIFICATION", default="mandatory")
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.forms.SignupForm"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_FORMS = {
    "login": "accounts.account_forms.SignInForm",
    "signup": "accounts.account_forms.SignUpForm",
    "add_email": "accounts.account_forms.AddressForm",
    "reset_password": "accounts.account_forms.ForgottenForm",
    "reauthenticate": "accounts.account_forms.ConfirmationForm",
    "change_password": "accounts.account_forms.PasswordForm",
    "set_password": "accounts.account_forms.FirstPasswordForm",
    "reset_password_from_key": "accounts.account_forms.ForgottenPasswordForm",
}
# Another address takes effect when its owner confirms it, and replaces the one before.
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
# Changing how one signs in asks for the password or second factor again, after this time.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
MFA_ADAPTER = "accounts.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "accounts.account_forms.PasskeyForm",
    "login_webauthn": "accounts.account_forms.PasskeySignInForm",
    "authenticate_webauthn": "accounts.account_forms.PasskeySecondFactorForm",
    "reauthenticate_webauthn": "accounts.account_forms.PasskeyConfirmationForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "ttonkapi"
MFA_TOTP_TOLERANCE = 1  # steps of 30 seconds that a phone's clock may be off
# Signing up proves the address already; with this off, nobody with a second factor could ever
# change theirs.
MFA_ALLOW_UNVERIFIED_EMAIL = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default="ttonkapi <no-reply@localhost>")
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = 10  # seconds that a mail server may take for one step

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["config.formats"]
LOCALE_PATHS = [BASE_DIR / "templates" / "locale"]

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}

CELERY_BROKER_URL: str = env.str("CELERY_BROKER_URL", default=REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A wake-up that waited longer than its period is worthless: the next one does the same work.
CELERY_TASK_DEFAULT_QUEUE = "ttonk"

# JSON lines, or "text" for a reader.
LOGGING: dict[str, Any] = log_config.configure(
    is_json=env.str("TTONK_LOG_FORMAT", default="json") != "text",
    level=env.str("LOG_LEVEL", default="INFO"),
)

# Whoever sends it may read /metrics from anywhere; without one, only this machine may.
METRICS_TOKEN: str = env.str("TTONK_METRICS_TOKEN", default="")
# 0 is off: a worker then answers no HTTP at all.
WORKER_METRICS_PORT: int = env.int("TTONK_WORKER_METRICS_PORT", default=0)
WORKER_METRICS_HOST: str = env.str("TTONK_WORKER_METRICS_HOST", default="127.0.0.1")

# Where OpenTelemetry's spans go (OTLP over HTTP, such as http://collector:4318/v1/traces); empty
# is off. Of requests whose caller decided nothing, this share is traced.
TRACES_URL: str = env.str("TTONK_TRACES_URL", default="")
TRACES_RATIO: float = env.float("TTONK_TRACES_RATIO", default=1.0)

# --- ttonkapi's own -----------------------------------------------------------------------------

BASE_URL: str = env.str("TTONK_BASE_URL", default="http://127.0.0.1:8000")

# Where the status page's probe asks whether the gateway is ready: as customers reach it.
STATUS_PROBE_URL: str = env.str("TTONK_STATUS_PROBE_URL", default=BASE_URL).rstrip("/")

# API keys are stored as HMAC-SHA256 under this pepper: a stolen table opens nothing.
KEY_PEPPER: str = env.str("TTONK_KEY_PEPPER", default="")
# Upstream credentials are encrypted under the first key and read under any of them (rotation).
ENCRYPTION_KEYS: list[str] = env.list("TTONK_ENCRYPTION_KEYS", default=[])

WELCOME_CREDIT_NANOS: int = env.int("TTONK_WELCOME_CREDIT_NANOS", default=1_000_000_000)
DEFAULT_PLAN: str = env.str("TTONK_DEFAULT_PLAN", default="starter")
# Older months of transfers and usage records are reported for `archive_month`; 0 keeps all.
RETENTION_MONTHS: int = env.int("TTONK_RETENTION_MONTHS", default=0)
LOW_BALANCE_NANOS: int = env.int("TTONK_LOW_BALANCE_NANOS", default=500_000_000)

# An operator without an authenticator app or a passkey sets one up before the admin opens.
STAFF_SECOND_FACTOR: bool = env.bool("TTONK_STAFF_SECOND_FACTOR", default=True)
# What one operator may move for one organization in a day alone; more waits for another operator.
ADJUSTMENT_ALONE_NANOS: int = env.int("TTONK_ADJUSTMENT_ALONE_NANOS", default=100_000_000_000)

# A day that an upstream's bill and our usage put further apart than both of these alarms: parts per
# million of the larger, and USD nanos.
RECONCILIATION_ALARM_PPM: int = env.int("TTONK_RECONCILIATION_ALARM_PPM", default=10_000)
RECONCILIATION_ALARM_NANOS: int = env.int("TTONK_RECONCILIATION_ALARM_NANOS", default=1_000_000_000)

# Cards through Stripe, where a secret key is set. Webhooks are believed by their signature alone,
# so a key without the secret that signs them does not start.
STRIPE_SECRET_KEY: str = env.str("STRIPE_SECRET_KEY", default="").strip()
STRIPE_PUBLISHABLE_KEY: str = env.str("STRIPE_PUBLISHABLE_KEY", default="").strip()
STRIPE_WEBHOOK_SECRET: str = env.str("STRIPE_WEBHOOK_SECRET", default="").strip()
# Another server that speaks Stripe's API, for tests; empty is Stripe.
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="")
# Where set, customers are offered a bank transfer: account, bank and holder, as many lines as it
# takes (\n in the variable begins a new one).
BANK_DETAILS: str = env.str("TTONK_BANK_DETAILS", default="").replace("\\n", "\n")
# Who collects money, by name, in the order customers are offered it: billing.payments.gateway.
PAYMENT_GATEWAYS: dict[str, str] = payments.gateways(
    stripe_key=STRIPE_SECRET_KEY,
    stripe_publishable_key=STRIPE_PUBLISHABLE_KEY,
    stripe_webhook_secret=STRIPE_WEBHOOK_SECRET,
    bank_details=BANK_DETAILS,
)

# Where set, this server answers models that have no upstream credential (never in production).
LOCAL_MODEL_URL: str = env.str("TTONK_LOCAL_MODEL_URL", default="")
LOCAL_FALLBACK = False

# Networks in which webhooks may go to addresses that are not public, over plain HTTP and to any
# port: for a trial or a test on one machine. Never in production.
WEBHOOK_LOCAL_NETWORKS: list[str] = []

# Gateway limits, in the unit each name ends with.
GATEWAY: dict[str, Any] = {
    "BODY_TIMEOUT_SECONDS": env.float("TTONK_BODY_TIMEOUT_SECONDS", default=30.0),
    # Of all requests that one process is serving.
    "BODIES_BYTES_MAX": env.int("TTONK_BODIES_BYTES_MAX", default=512 * 1024 * 1024),
    "AUTHORIZE_TIMEOUT_SECONDS": env.float("TTONK_AUTHORIZE_TIMEOUT_SECONDS", default=0.9),
    "HOLD_SECONDS": env.int("TTONK_HOLD_SECONDS", default=45),
    "CONNECT_TIMEOUT_SECONDS": env.float("TTONK_CONNECT_TIMEOUT_SECONDS", default=5.0),
    "FIRST_TOKEN_TIMEOUT_SECONDS": env.float("TTONK_FIRST_TOKEN_TIMEOUT_SECONDS", default=120.0),
    "IDLE_TIMEOUT_SECONDS": env.float("TTONK_IDLE_TIMEOUT_SECONDS", default=60.0),
    "ANSWER_TIMEOUT_SECONDS": env.float("TTONK_ANSWER_TIMEOUT_SECONDS", default=600.0),
    "ANSWER_BYTES_MAX": env.int("TTONK_ANSWER_BYTES_MAX", default=64 * 1024 * 1024),
    "EVENT_BYTES_MAX": env.int("TTONK_EVENT_BYTES_MAX", default=4 * 1024 * 1024),
    "CLIENT_STALL_SECONDS": env.float("TTONK_CLIENT_STALL_SECONDS", default=60.0),
    "KEEPALIVE_SECONDS": env.float("TTONK_KEEPALIVE_SECONDS", default=15.0),
    "IN_FLIGHT_MAX": env.int("TTONK_IN_FLIGHT_MAX", default=4096),
    "SPOOL_DIR": env.str("TTONK_SPOOL_DIR", default=str(BASE_DIR / ".data" / "spool")),
    # How many gateway processes share one limit while Redis cannot be asked.
    "PROCESSES": env.int("TTONK_GATEWAY_PROCESSES", default=1),
    "REDIS_TIMEOUT_SECONDS": env.float("TTONK_REDIS_TIMEOUT_SECONDS", default=0.1),
    # Addresses of load balancers whose X-Forwarded-For is believed.
    "TRUSTED_PROXIES": env.list("TTONK_TRUSTED_PROXIES", default=[]),
}
