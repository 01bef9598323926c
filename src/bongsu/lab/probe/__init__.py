"""Looking at a network from outside: echo probes, the path they take, and the PoP they enter by."""
