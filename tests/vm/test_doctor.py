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
    "relay bpf",
    "relay kernel",
    "namespaces",
)

# The kernel asks modprobe for a dozen names before its first AES-GCM, here for longer than the
# doctor has patience. Once is enough.
WARM_UP = """
ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 \\
    aead 'rfc4106(gcm(aes))' 0x00112233445566778899aabbccddeeff00112233 128
ip xfrm state flush
"""


def test_doctor() -> None:
    program = "from bongsu.cli.main import run; run()"
    result = resume(f"{WARM_UP}exec $PYTHON -c '{program}' doctor --json", timeout_s=300)
    assert result.rc == 0, result.output
    found = {entry["name"]: entry for entry in json.loads(result.output)}
    assert {name: found[name]["detail"] for name in HAS if not found[name]["ok"]} == {}
    assert found["kernel"]["detail"] == f"Linux {kernel.find().version}"
    # Both could carry it; the kernel's own is taken.
    assert found["GRE backend"]["detail"] == "kernel"
