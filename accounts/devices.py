"""Where somebody signs in from: a browser and a network, as coarse as a person remembers them."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest
from django.utils import timezone

from accounts.models import SeenDevice, User

# Of one person; the ones not seen for longest are forgotten first.
DEVICES_MAX = 50
_USER_AGENT_CHARACTERS_MAX = 400

# The first that fits: many browsers claim to be others as well.
_BROWSERS = (
    ("Edge", r"\bEdgA?/|\bEdgiOS/"),
    ("Opera", r"\bOPR/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\bFirefox/|\bFxiOS/"),
    ("Chrome", r"\bChrome/|\bHeadlessChrome/|\bCriOS/"),
    ("Safari", r"\bSafari/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMac OS X\b|\bMacintosh\b"),
    ("Linux", r"\bLinux\b"),
)


@dataclass(frozen=True, slots=True)
class Device:
    """`browser` such as "Firefox on Linux", empty where nothing is recognized."""

    browser: str
    address: str
    seen_at: datetime

    @property
    def network(self) -> str:
        """The address's neighbourhood: providers change the rest of it from day to day."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return ""
        bits = 24 if address.version == 4 else 48
        return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def of(request: HttpRequest) -> Device:
    agent = request.headers.get("user-agent", "")
    return Device(browser(agent), request.META.get("REMOTE_ADDR", ""), timezone.now())


def browser(user_agent: str) -> str:
    """A browser and its system as people call them, or one of the two, or nothing."""
    agent = user_agent[:_USER_AGENT_CHARACTERS_MAX]
    found = [_first(_BROWSERS, agent), _first(_SYSTEMS, agent)]
    return " on ".join(name for name in found if name)


def note(user: User, device: Device) -> bool:
    """Remember a sign-in. True where the person has signed in before, but never from there."""
    mine = SeenDevice.objects.filter(user=user)
    is_first = not mine.exists()
    _row, is_new = SeenDevice.objects.update_or_create(
        user=user,
        browser=device.browser,
        network=device.network,
        defaults={"seen_at": device.seen_at},
    )
    if is_new:
        kept = mine.order_by("-seen_at", "-pk").values("pk")[:DEVICES_MAX]
        mine.exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()
    return is_new and not is_first


def _first(patterns: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for name, pattern in patterns if re.search(pattern, agent)), "")
