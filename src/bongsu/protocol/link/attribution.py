"""Which tunnel a line of an IKE daemon's log is about, where one daemon has several.

charon puts the association's name before what it says, `<vti1|3>`, once it knows which it is, and
until then only a number, `<3>`: then the address that the packet came from tells. pluto names the
connection, `"vti1" #3:`, or the packet, `packet from 192.0.2.1:500:`. Pure.
"""

import re
from collections.abc import Mapping

_CHARON = re.compile(r"\d\d\[[A-Z]{3}\] <(?:(?P<name>[^|>]+)\|)?(?P<number>\d+)>")
_CHARON_FROM = re.compile(r"received packet: from (?P<from>[0-9a-fA-F:.]+)\[\d+\]")
_PLUTO = re.compile(r'"(?P<name>[^"]+)"(?:\[\d+\] \S+)? #\d+:')
_PLUTO_FROM = re.compile(r"packet from (?P<from>[0-9a-fA-F:.]+):\d+:")
_PART = re.compile(r"_\d+$")
REMEMBERED = 256
"""Associations without a name whose far end is known: more than are ever half made."""


class Attribution:
    """`tunnels`: name -> the far end's address."""

    def __init__(self, tunnels: Mapping[str, str]) -> None:
        self._tunnels = dict(tunnels)
        self._senders: dict[str, str] = {}

    def of(self, line: str) -> str | None:
        """The tunnel, or None."""
        if charon := _CHARON.search(line):
            if (name := charon["name"]) is not None:
                return self._named(name)
            if sender := _CHARON_FROM.search(line):
                if len(self._senders) >= REMEMBERED:
                    self._senders.pop(next(iter(self._senders)))
                self._senders[charon["number"]] = sender["from"]
            return self._from(self._senders.get(charon["number"], ""))
        if pluto := _PLUTO.search(line):
            return self._named(pluto["name"])
        if sender := _PLUTO_FROM.search(line):
            return self._from(sender["from"])
        return None

    def _named(self, name: str) -> str | None:
        return next((n for n in (name, _PART.sub("", name)) if n in self._tunnels), None)

    def _from(self, address: str) -> str | None:
        """The only tunnel with that far end; of several it is not known which."""
        found = [name for name, remote in self._tunnels.items() if remote == address]
        return found[0] if len(found) == 1 else None
