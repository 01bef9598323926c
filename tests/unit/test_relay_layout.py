"""relay.h and its numpy mirror, compared through the BTF of the compiled object."""

import re

import pytest

from bongsu.system.bpf.objects import HERE, compiled
from bongsu.system.relay import layout
from tests.unit.test_gre_layout import STRUCT, Btf


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Btf(compiled("relay"))


@pytest.mark.parametrize("name", sorted(layout.STRUCTS))
def test_structures(btf: Btf, name: str) -> None:
    ours, theirs = layout.STRUCTS[name], btf.find(name, STRUCT)
    assert ours.itemsize == theirs.size
    fields = ours.fields
    assert fields is not None
    mirrored = [(each, fields[each][1], fields[each][0].itemsize) for each in ours.names or ()]
    assert mirrored == btf.members(theirs)
    # no hole: the fields fill the structure, so equal keys are equal bytes
    assert sum(size for _, _, size in mirrored) == theirs.size


def test_reasons() -> None:
    (body,) = re.findall(r"enum relay_drop \{(.*?)\};", (HERE / "relay.h").read_text(), re.DOTALL)
    names = re.findall(r"RELAY_([A-Z_]+),", re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL))
    assert names[-1] == "DROPS"
    assert tuple(name.lower() for name in names[:-1]) == layout.DROPS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELAY_WHEEL", layout.WHEEL),
        ("RELAY_ENDPOINTS", layout.ENDPOINTS),
        ("RELAY_PAGE", layout.PAGE),
        ("RELAY_NOBODY", layout.NOBODY),
        ("RELAY_KEYED", layout.KEYED),
        ("RELAY_LOCAL", layout.LOCAL),
        ("RELAY_REGION", layout.REGION),
        ("RELAY_OFF", layout.OFF),
        ("RELAY_ALIEN", layout.ALIEN),
        ("RELAY_AFFINITY_CLIENT", layout.AFFINITY_CLIENT),
        ("RELAY_REPAIR", layout.REPAIR),
        ("RELAY_ENTRY", layout.ENTRY),
        ("RELAY_EGRESS", layout.EGRESS),
        ("RELAY_FREE", layout.FREE),
        ("RELAY_LIVE", layout.LIVE),
        ("RELAY_PARKED", layout.PARKED),
        ("RELAY_GONE", layout.GONE),
        ("RELAY_NEW", layout.NEW),
        ("RELAY_TWOWAY", layout.TWOWAY),
        ("RELAY_PROVED", layout.PROVED),
        ("RELAY_SAW_IKE", layout.SAW_IKE),
        ("RELAY_SAW_ESP", layout.SAW_ESP),
        ("RELAY_SAW_KEEPALIVE", layout.SAW_KEEPALIVE),
        ("RELAY_SAW_OTHER", layout.SAW_OTHER),
        ("RELAY_CLOSING_UP", layout.CLOSING_UP),
        ("RELAY_CLOSING_DOWN", layout.CLOSING_DOWN),
        ("RELAY_CLOSED", layout.CLOSED),
        ("RELAY_VALIDATE_NONE", layout.VALIDATE["none"]),
        ("RELAY_VALIDATE_IKE", layout.VALIDATE["ike"]),
        ("RELAY_VALIDATE_TCP", layout.VALIDATE["tcp"]),
        ("RELAY_OWN_UP", layout.OWN_UP),
        ("RELAY_OWN_DOWN", layout.OWN_DOWN),
        ("RELAY_ANY_ESP", layout.ANY_ESP),
        ("RELAY_ANY_IKE", layout.ANY_IKE),
    ],
)
def test_constants(name: str, value: int) -> None:
    (told,) = re.findall(rf"#define {name} (\S+)", (HERE / "relay.h").read_text())
    assert int(told, 0) == value
