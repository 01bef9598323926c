"""What netlink says to the kernel backend reaches the agent as the backend's own error."""

from collections.abc import Callable
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from bongsu.system.gre import kernel
from bongsu.system.gre.base import GreError
from bongsu.system.gre.kernel import KernelBackend


class Gone:
    """A data plane whose tunnels' interfaces somebody has removed."""

    states = [{"line_down": 0}]

    def tunnels(self, *, driver: bool) -> dict[str, Any]:
        return {f"gre-{n}": {"slot": 0, "device": n, "underlay": 1} for n in range(100)}

    def tunnel(self, name: str, *, driver: bool) -> Any:
        return self.tunnels(driver=driver)[name]

    def counters(self, record: object) -> object:
        return record

    def remove(self, kernel: object, record: object) -> None:
        return None


class Refusing:
    """A netlink socket that knows of no interface."""

    def link(self, *_: object, **__: object) -> Any:
        raise NetlinkError(19, "No such device")

    get_links = link_lookup = link


def refuse(*_: object, **__: object) -> Any:
    raise NetlinkError(19, "No such device")


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> KernelBackend:
    made = KernelBackend.__new__(KernelBackend)
    made._ipr, made._plane, made._turn = Refusing(), Gone(), 0  # type: ignore[assignment]
    made._kernel = None  # type: ignore[assignment]
    for name in ("read", "find"):
        monkeypatch.setattr(kernel.links, name, refuse)
    return made


@pytest.mark.parametrize(
    "call",
    [
        lambda backend: backend.refresh(),
        lambda backend: backend.set_line("gre-1", False),
        lambda backend: backend.counters(),
        lambda backend: backend.delete("gre-1"),
    ],
)
def test_a_refusal_is_a_gre_error(
    backend: KernelBackend, call: Callable[[KernelBackend], object]
) -> None:
    with pytest.raises(GreError, match=r"the kernel refused: .*No such device"):
        call(backend)


def test_a_tunnel_in_trouble_does_not_keep_the_others_waiting(backend: KernelBackend) -> None:
    for _ in range(2):
        with pytest.raises(GreError):
            backend.refresh()
    assert backend._turn > kernel.REFRESHED
