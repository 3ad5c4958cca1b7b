"""What upstreams bill, beside what we know was used.

A file becomes a bill with its lines, once and for good; another for the same days replaces it only
where that is asked for. `matching` compares a bill with the hours that `billing.costs` keeps, again
and again while late records settle. Files come from people and providers: nothing in one is trusted
to be what its name says, and every limit is stated in `sheets`.
"""
