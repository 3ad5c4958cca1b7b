"""Other gateways beside this one, in one run: `python -m benchmarks.peers`."""
