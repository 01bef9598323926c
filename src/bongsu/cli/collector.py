"""Python's cyclic garbage collector, kept away from a network while it is made.

A network and its plans are trees of values: nothing in them is a cycle, and all of them live as long as
the command. The collector visits them again and again as they grow, in vain; at 1,000 sites that is
a quarter of the time.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No collection within. What was made there is never looked at again; what comes later is."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()
