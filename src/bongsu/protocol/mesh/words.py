"""A change of path in words, for the event that tells it."""

from collections.abc import Mapping

from bongsu.protocol.mesh.path import Change, Way, Why

LOSS_SAID = 0.005
"""A difference that is worth a word."""
NS_PER_MS = 1e6


def said(change: Change, names: Mapping[int, str], window_s: int, dead_after: int) -> str:
    """`through tokyo, direct lost 48 % of the last 30 s`."""
    return f"{way_name(change, names)}, {why(change, names, window_s, dead_after)}"


def way_name(change: Change, names: Mapping[int, str]) -> str:
    """The way that is taken."""
    return named(change.destination, change.after, names)


def named(destination: int, next_hop: int, names: Mapping[int, str]) -> str:
    """`direct`, or `through` whom."""
    if next_hop == destination:
        return "direct"
    return f"through {names.get(next_hop, str(next_hop))}"


def why(change: Change, names: Mapping[int, str], window_s: int, dead_after: int) -> str:
    """What is wrong with the way that was left."""
    before = named(change.destination, change.before, names)
    left, taken = change.left, change.taken
    if change.why is Why.GONE or left is None:
        return f"{before} is no way any more"
    if change.why is Why.DEAD:
        return f"{before} was dead: {dead_after} probes unanswered"
    return f"{before} {_worse(left, taken, window_s)}"


def _worse(left: Way, taken: Way, window_s: int) -> str:
    if left.loss - taken.loss >= LOSS_SAID:
        return f"lost {percent(left.loss)} % of the last {window_s} s"
    rtt, jitter = left.rtt_ns - taken.rtt_ns, left.jitter_ns - taken.jitter_ns
    if jitter > rtt:
        return f"had a jitter of {_ms(left.jitter_ns)} ms instead of {_ms(taken.jitter_ns)}"
    return f"had an RTT of {_ms(left.rtt_ns)} ms instead of {_ms(taken.rtt_ns)}"


def percent(share: float) -> str:
    """Two digits at least where it is small: `48`, `3.2`, `0.71`."""
    value = share * 100
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _ms(ns: int) -> str:
    return f"{ns / NS_PER_MS:.3g}"
