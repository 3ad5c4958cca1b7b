"""One machine, `make run`: the base settings on the data folder's servers and secrets.

Pages and errors look as in production. What the environment already says wins.
"""

import os

from config.launcher import folder

_data = folder.prepare(folder.locate())
folder.keep_secrets(_data)
for _name, _value in folder.environment(_data).items():
    os.environ.setdefault(_name, _value)
# With no server on record, an address where nothing answers: commands that need no database
# still work, and none ever meets a stranger's server through the driver's own defaults.
os.environ.setdefault("DATABASE_URL", "postgres://ttonkapi@127.0.0.1:1/ttonkapi")
# A stranger goes on at once; the mail with the link lies in the data folder.
os.environ.setdefault("TTONK_EMAIL_VERIFICATION", "optional")
# `make run` prints an operator's sign-in, to be used as it stands.
os.environ.setdefault("TTONK_STAFF_SECOND_FACTOR", "off")
os.environ.setdefault("TTONK_LOG_FORMAT", "text")
os.environ.setdefault("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1],*")

from .base import *  # noqa: E402, F403

# Without an upstream's credential the catalog's models are answered by the local one.
LOCAL_FALLBACK = True
# A receiver on this machine may be tried out.
WEBHOOK_LOCAL_NETWORKS = ["127.0.0.0/8", "::1/128"]

# Straight from the source folders: a trial has no build step.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

if "EMAIL_URL" not in os.environ:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(_data / "mail")
