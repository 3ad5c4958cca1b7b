"""The suite: the base settings on whatever real PostgreSQL and Redis the environment names.

Each xdist worker has a database of its own (pytest-django) and a Redis number of its own (here).
"""

import os
from urllib.parse import urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured

if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
    raise ImproperlyConfigured(
        "The suite needs real servers: run `make test`, or "
        "`.venv/bin/python -m config.launcher exec --throwaway -- .venv/bin/pytest …`"
    )

# gw0 -> 1, gw1 -> 2, …; 0 without xdist. Numbers from 8 up are the product's under test.
REDIS_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")) + 1
os.environ["REDIS_URL"] = urlunsplit(
    urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{REDIS_NUMBER}")
)
# Fixed, so that what a test stores reads the same in every process of the run.
os.environ["TTONK_LOG_FORMAT"] = "text"
os.environ["SECRET_KEY"] = "for the test suite only, and nowhere else"
os.environ["TTONK_KEY_PEPPER"] = "for the test suite only, and nowhere else"
os.environ["TTONK_ENCRYPTION_KEYS"] = "dGVzdHMgb25seSB0ZXN0cyBvbmx5IHRlc3RzIG9ubHk="
for _name in ("TTONK_LOCAL_MODEL_URL", "DASHSCOPE_API_KEY", "DEEPSEEK_API_KEY"):
    os.environ.pop(_name, None)

from .base import *  # noqa: E402, F403

ALLOWED_HOSTS = ["*"]
STAFF_SECOND_FACTOR = False  # the tests of it switch it on
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
