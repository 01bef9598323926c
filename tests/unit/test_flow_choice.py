"""What is asked of the monitor is written as its programs read it, or refused with a reason."""

from ipaddress import ip_network

import numpy as np
import pytest

from bongsu.system.flow import layout
from bongsu.system.flow.choice import Choice, Filter, FlowError, record_of


def test_metrics_and_sampling() -> None:
    made = record_of(Choice(http=True, dscp=False, every=4))
    assert made["metrics"] == layout.RTT | layout.PORTS | layout.HTTP
    assert (made["every"], made["threshold"], made["filters"]) == (4, 2**30 - 1, 0)
    assert record_of(Choice())["threshold"] == 2**32 - 1


def test_filters() -> None:
    made = record_of(
        Choice(filters=[Filter(6, 443), Filter(prefix=ip_network("10.1.0.0/16")), Filter(17)])
    )
    assert made["filters"] == 3
    first, second = made["filter"][:2]
    assert (first["proto"], first["port"], first["family"]) == (6, 443, 0)
    assert second["prefix"].tobytes() == bytes([10, 1]) + bytes(14)
    assert second["mask"].tobytes() == b"\xff\xff" + bytes(14)
    assert second["family"] == 4
    assert not np.any(first["mask"])


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(every=0), "1:0"),
        (Choice(every=1 << 15), "between 1 and 16384"),
        (Choice(filters=[Filter(port=70000)]), "port 70000"),
        (Choice(filters=[Filter(protocol=0)]), "protocol 0"),
        (Choice(filters=[Filter()] * 9), "at most 8"),
    ],
)
def test_refused(choice: Choice, said: str) -> None:
    with pytest.raises(FlowError, match=said):
        record_of(choice)
