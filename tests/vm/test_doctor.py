"""`bongsu doctor` on a kernel that has everything: it must not miss what is there."""

import json

import pytest

from tests.vm.harness import kernel, resume

pytestmark = pytest.mark.vm

HAS = (
    "BTF",
    "GRE ebpf",
    "GRE kernel",
    "veth",
    "nftables",
    "TUN/TAP",
    "tc TBF",
    "netem",
    "VRF",
    "XFRM policies",
    "ESP",
    "VTI",
    "XFRM interface",
    "XDP on veth",
    "namespaces",
)


def test_doctor() -> None:
    program = "from bongsu.cli.main import run; run()"
    result = resume(f"exec $PYTHON -c '{program}' doctor --json", timeout_s=300)
    assert result.rc == 0, result.output
    found = {entry["name"]: entry for entry in json.loads(result.output)}
    assert {name: found[name]["detail"] for name in HAS if not found[name]["ok"]} == {}
    assert found["kernel"]["detail"] == f"Linux {kernel.find().version}"
    # Both could carry it; the kernel's own is taken.
    assert found["GRE backend"]["detail"] == "kernel"
