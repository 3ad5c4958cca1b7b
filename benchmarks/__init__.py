"""How fast the product is, measured through all of it: `make bench`, see docs/benchmarks.md."""
