"""`bongsu demo`: the whole way through, in front of the user's eyes."""
