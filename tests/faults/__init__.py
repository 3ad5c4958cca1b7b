"""Faults: what the product promises when its parts fail. `make faults`, docs/reliability.md."""
