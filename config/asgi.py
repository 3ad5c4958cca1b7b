"""The ASGI application: the thin gateway in front, stock Django for everything else."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
_django = get_asgi_application()

from gateway.handler import GatewayHandler  # noqa: E402  (needs the apps loaded)

application = GatewayHandler(fallback=_django)
