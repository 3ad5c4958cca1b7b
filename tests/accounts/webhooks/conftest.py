from collections.abc import Iterator

import pytest

from accounts.webhooks import endpoints, events
from tests import factories
from tests.receiver import Receiver


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    """A receiver on this machine, which the guard lets through for this test."""
    settings.WEBHOOK_LOCAL_NETWORKS = ["127.0.0.0/8"]
    with Receiver() as running:
        yield running


@pytest.fixture
def organization(db):
    return factories.OrganizationFactory.create(name="Acme Robotics")


@pytest.fixture
def made(organization, receiver):
    """An endpoint for everything, with its secret."""
    return endpoints.create(organization, receiver.url, list(events.TYPES), "Billing board")


@pytest.fixture
def endpoint(made):
    return made.row
