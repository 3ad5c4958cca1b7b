"""A route: the model, the price in force, and the channels that can serve one request."""

import bisect
from datetime import datetime

import msgspec
from asgiref.sync import sync_to_async
from django.db import connection

from billing import pricebook
from billing.pricing import PriceVersion
from gateway.errors import Overloaded
from gateway.principals import Principal
from providers import catalog
from providers.catalog import Catalog, ChannelFacts, ModelFacts, ModelNotFound


class Route(msgspec.Struct, frozen=True):
    model: ModelFacts
    price: PriceVersion
    channels: list[ChannelFacts]
    started_at: datetime


class Routes:
    """The process's snapshot of catalog and prices."""

    def __init__(self) -> None:
        self.catalog = Catalog({})
        self._prices: dict[int, list[PriceVersion]] = {}
        self.is_loaded = False

    async def refresh(self) -> None:
        """Read both anew. The snapshot changes at once and whole."""
        fresh, prices = await sync_to_async(self._load, thread_sensitive=False)()
        self.catalog, self._prices, self.is_loaded = fresh, prices, True

    def _load(self) -> tuple[Catalog, dict[int, list[PriceVersion]]]:
        try:
            return catalog.load(self.catalog), pricebook.load()
        finally:
            # A thread keeps its connection for good, also one whose server has gone away since.
            connection.close()

    def resolve(self, name: str, principal: Principal, at: datetime) -> Route:
        """The route for a request that starts `at`. Raises as `find` does."""
        model = self.find(name, principal)
        price = self.price(model, at)
        if price is None:
            raise ModelNotFound(name)
        return Route(model, price, model.ordered_channels(), at)

    def find(self, name: str, principal: Principal) -> ModelFacts:
        """The model of this name. Raises `ModelNotFound` or `Forbidden`, and `Overloaded` until
        the catalog has been read once: of what is not known yet nothing is said."""
        self._check_loaded()
        model = self.catalog.get(name)
        principal.check_model(model.name)
        return model

    def _check_loaded(self) -> None:
        if not self.is_loaded:
            raise Overloaded("The service is starting. Try again shortly.")

    def price(self, model: ModelFacts, at: datetime) -> PriceVersion | None:
        """The version in force: the latest whose date has come."""
        versions = self._prices.get(model.id, [])
        index = bisect.bisect_right(versions, at, key=lambda version: version.effective_at)
        return versions[index - 1] if index else None

    def visible(self, principal: Principal) -> list[ModelFacts]:
        """The models this caller may name. Raises `Overloaded` as `find` does."""
        self._check_loaded()
        allowed = principal.allowed_models
        return [
            model for model in self.catalog.models.values() if not allowed or model.name in allowed
        ]
