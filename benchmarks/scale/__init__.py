"""What size costs: the product on ten million usage rows beside the same product on none."""
