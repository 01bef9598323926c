"""How often strangers may try: a bucket for each source and one for all. Pure: takes `now`."""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

SOURCES = 4096
"""Remembered at once; the one that has been silent longest is forgotten first."""


@dataclass
class _Bucket:
    tokens: float
    at: float


class Limit:
    """`burst` attempts at once, then one every `every_s`; for all sources together `share` times that."""

    def __init__(self, burst: int, every_s: float, share: int) -> None:
        self._burst = burst
        self._every_s = every_s
        self._share = share
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._all = _Bucket(burst * share, 0.0)

    def takes(self, source: str, now: float) -> bool:
        """Whether one more attempt may be looked at; if so, it is counted."""
        bucket = self._buckets.pop(name := network(source), None) or _Bucket(self._burst, now)
        self._buckets[name] = bucket
        if len(self._buckets) > SOURCES:
            self._buckets.popitem(last=False)
        _fill(bucket, now, 1 / self._every_s, self._burst)
        _fill(self._all, now, self._share / self._every_s, self._burst * self._share)
        if bucket.tokens < 1 or self._all.tokens < 1:
            return False
        bucket.tokens -= 1
        self._all.tokens -= 1
        return True


def network(source: str) -> str:
    """Who a source is: an IPv4 address, or the /64 of an IPv6 address, which one host owns whole."""
    try:
        address = ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return str(address)


def _fill(bucket: _Bucket, now: float, rate: float, most: float) -> None:
    bucket.tokens = min(most, bucket.tokens + max(0.0, now - bucket.at) * rate)
    bucket.at = now
