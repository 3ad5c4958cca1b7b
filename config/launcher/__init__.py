"""One command starts everything: stores, model, gateway, worker and beat on one machine.

Nothing here is imported by the product, except `folder` by the local settings.
"""
