"""One keepalive session as the engine takes it: timing, ends and the packet, already decided."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from bongsu.system.keepalive.library import MODES, NONCE, PAYLOAD, Config


@dataclass(frozen=True)
class Session:
    """`payload` is everything behind the outer IP header, with identification (of the inner
    packet, which begins at `inner`) and nonce zero and the checksum right for that.
    """

    local: IPv4Address | IPv6Address
    remote: IPv4Address | IPv6Address
    interval_ns: int
    retries: int
    payload: bytes
    inner: int
    up_after: int = 1
    nonce: bool = False
    """The payload ends with eight bytes for it."""
    ttl: int = 255
    tos: int = 0
    ifindex: int = 0
    """That requests leave by; 0: by whichever routing says."""
    mode: Literal["kernel", "socket"] = "kernel"
    """Who judges replies: our program on the underlay, or the thread, from a raw socket."""

    def config(self, slot: int, up: bool) -> Config:
        """struct ka_config. ValueError when the payload is too long."""
        if len(self.payload) > PAYLOAD:
            raise ValueError(f"a request has at most {PAYLOAD} bytes behind its outer header")
        made = Config(
            interval=self.interval_ns,
            slot=slot,
            retries=self.retries,
            up_after=self.up_after,
            mode=MODES[self.mode],
            flags=NONCE if self.nonce else 0,
            line=up,
            ifindex=self.ifindex,
            family=self.local.version,
            ttl=self.ttl,
            tos=self.tos,
            length=len(self.payload),
            inner=self.inner,
        )
        for field, value in (
            (made.local, self.local.packed),
            (made.remote, self.remote.packed),
            (made.payload, self.payload),
        ):
            field[: len(value)] = value
        return made
