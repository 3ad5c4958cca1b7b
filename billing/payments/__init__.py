"""Money coming in: orders, the providers that collect it, and what they tell of it.

An order's row is made first, then its provider is asked; what the provider tells is recorded, and a
worker acts on the record: an order is credited once, whatever is told how often in which order.
No transaction spans a call of a provider.
"""
