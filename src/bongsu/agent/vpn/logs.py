"""What the IKE daemons say, line by line, each line given to the tunnel that it is about."""

import time
from collections.abc import Mapping
from pathlib import Path

from bongsu.agent.vpn.tail import Tail
from bongsu.agent.vpn.watched import Watched
from bongsu.protocol.link.attribution import Attribution


class Logs:
    """Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._tails: dict[str, tuple[Tail, str]] = {}
        self._attribution = Attribution({})

    def follow(self, logs: Mapping[Path, str], far_ends: Mapping[str, str]) -> None:
        """Read exactly these from now on.

        logs: by file, its tunnel; empty for one of all tunnels. far_ends: by tunnel, their address.
        """
        self._attribution = Attribution(far_ends)
        wanted = {str(path): (path, tunnel) for path, tunnel in logs.items()}
        for key in self._tails.keys() - wanted.keys():
            del self._tails[key]
        for key, (path, tunnel) in wanted.items():
            if key not in self._tails:
                self._tails[key] = Tail(path), tunnel

    def close(self) -> None:
        """Read nothing any more."""
        self._tails.clear()

    def read(self, watched: Mapping[str, Watched]) -> None:
        """What has been added since the last time."""
        now = time.monotonic_ns()
        for tail, owner in self._tails.values():
            for line in tail.lines():
                name = owner or self._attribution.of(line)
                one = watched.get(name) if name else None
                if one is not None and one.diagnosis.hear(line, now):
                    one.heard_ns = now
