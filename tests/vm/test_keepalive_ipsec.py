"""GRE keepalives inside IPsec: what Debian's kernel does is what was predicted before it ran.

The table is that of Cisco's document 118370: a crypto map is a policy, tunnel protection is a tunnel
bound to a device that encrypts (an XFRM interface or a VTI). b sends, a sends back. Keys are fixed,
and then negotiated by two Libreswans.
"""

import json
import subprocess
from functools import cache
from typing import Any

import pytest

from bongsu.checks.registry import run_checks
from bongsu.intent.loader import load_text
from bongsu.model.ipsec import Protection
from bongsu.plan.compile import compile_network
from bongsu.plan.prediction import Outcome, Prediction, Secrecy, predict_keepalive
from tests.vm.harness import resume

pytestmark = pytest.mark.vm

MAP, PROTECTION = Protection.MAP, Protection.TUNNEL
TABLE = [(PROTECTION, MAP), (MAP, PROTECTION), (PROTECTION, PROTECTION), (MAP, MAP)]
"""How a encrypts, and how b does: Cisco's three scenarios, and the way out."""
FORMS = {
    "XFRM interface": {MAP: "map", PROTECTION: "xfrm"},
    "VTI": {MAP: "map", PROTECTION: "vti"},
    "mark": {MAP: "map", PROTECTION: "mark"},
}

Seen = dict[str, Any]
"""By run, what the job wrote."""

RETRIES = 4
UP, LOST = ["up"] * (RETRIES + 1), ["up"] * RETRIES + ["down"]
LINE = {Outcome.WORKS: UP, Outcome.DOWN: LOST}
ESP = {"a": ["esp"], "b": ["esp"]}
CLEAR_ANSWER = {"a": ["gre 0000"], "b": ["esp"]}
"""What either end puts on the wire when a's answer leaves it in clear text."""

NETWORK = """\
version: 1
name: ipsec
nodes:
  a:
    role: router
    interfaces:
      lo: {{role: loopback, addresses: [192.168.1.1/32]}}
      wan: {{role: link, addresses: [192.0.2.1/24]}}
    routes:
      - {{to: 192.168.1.2/32, via: 192.0.2.2}}
  b:
    role: router
    interfaces:
      lo: {{role: loopback, addresses: [192.168.1.2/32]}}
      wan: {{role: link, addresses: [192.0.2.2/24]}}
    routes:
      - {{to: 192.168.1.1/32, via: 192.0.2.1}}
tunnels:
  gre1:
    ends:
      a: {{interface: lo, addresses: [10.10.10.1/30], protection: {a}}}
      b:
        interface: lo
        addresses: [10.10.10.2/30]
        protection: {b}
        keepalive: {{seconds: 5, retries: 4}}
    ipsec: {{psk: "env:PSK", mode: {mode}}}
    bgp: false
lab:
  wires:
    - {{a: a/wan, b: b/wan}}
"""


@cache
def predicted(a: Protection, b: Protection, mode: str = "tunnel") -> tuple[Prediction, list[str]]:
    """The fate of b's keepalives, and what `bongsu check` says about them."""
    network = load_text(NETWORK.format(a=a, b=b, mode=mode), "ipsec.yaml").network
    plans = compile_network(network)
    (far,), (sender,) = plans["a"].tunnels, plans["b"].tunnels
    found = [each for each in run_checks(network, plans) if each.code == "GRE011"]
    return predict_keepalive(sender, far), [each.severity.value for each in found]


def run(name: str, a: Protection, b: Protection, *options: str) -> str:
    """The job's word for b's keepalives between two ends of that form."""
    return ":".join(("b", FORMS[name][a], FORMS[name][b], *options))


IN_TUNNEL_MODE = [
    pytest.param(name, a, b, id=f"{a} {b} by {name}")
    for name in ("XFRM interface", "VTI")
    for a, b in TABLE
]
ROWS = [pytest.param(a, b, id=f"{a} {b}") for a, b in TABLE]
OTHERS = (
    *("b:xfrm:xfrm:open", "b:vti:vti:open"),
    *("b:route:map", "b:route:xfrm", "b:route:route"),
    *("b:map:xfrm:transport", "b:map:vti:transport"),
)


@pytest.fixture(scope="module")
def seen() -> Seen:
    """One guest for all, started when every prediction has been made."""
    runs = []
    for name, mode in (("XFRM interface", "tunnel"), ("VTI", "tunnel"), ("mark", "transport")):
        for a, b in TABLE:
            predicted(a, b, mode)
            runs.append(run(name, a, b, *([mode] if mode == "transport" else [])))
    runs += [run("XFRM interface", a, b, "engine") for a, b in TABLE]
    runs = list(dict.fromkeys([*runs, *OTHERS]))
    result = resume(
        f"exec $PYTHON -m tests.vm.jobs.ipsec_keepalive {' '.join(runs)}", timeout_s=300
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output))


@pytest.fixture(scope="module")
def negotiated(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The same by IKE, in a guest of its own."""
    for a, b in TABLE:
        predicted(a, b)
    runs = [run("XFRM interface", a, b) for a, b in TABLE]
    nss = tmp_path_factory.mktemp("nss")
    argv = ["certutil", "-N", "-d", f"sql:{nss}", "--empty-password"]
    subprocess.run(argv, check=True, capture_output=True)
    result = resume(
        f"exec $PYTHON -m tests.vm.jobs.ipsec_ike {' '.join(runs)}",
        {f"nss/{file.name}": file.read_bytes() for file in nss.iterdir()},
        timeout_s=300,
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output))


def compare(found: dict[str, Any], a: Protection, b: Protection) -> None:
    """What b has seen, with what was said before."""
    prediction, findings = predicted(a, b)
    # The tunnel itself is well, and encrypted both ways: only its keepalives may not be.
    assert found["data"] == {"fate": "reply", "wire": ESP}
    assert found["line"] == LINE[prediction.outcome]
    if prediction.works:
        assert (found["fates"], found["wire"], findings) == (["reply"], ESP, [])
    else:
        assert prediction.reasons == (Secrecy.CLEAR,)
        # A crypto map wants ESP; beside its device an end with tunnel protection wants nothing.
        why = {MAP: "b XfrmInTmplMismatch", PROTECTION: "b XfrmInPolBlock"}[b]
        assert (found["fates"], found["wire"], findings) == ([why], CLEAR_ANSWER, ["error"])


@pytest.mark.parametrize(("name", "a", "b"), IN_TUNNEL_MODE)
def test_the_line_is_what_was_predicted(
    seen: Seen, name: str, a: Protection, b: Protection
) -> None:
    compare(seen[run(name, a, b)], a, b)


@pytest.mark.parametrize(("a", "b"), ROWS)
def test_the_engine_inside_ipsec(seen: Seen, a: Protection, b: Protection) -> None:
    """The product's own sender, where no program of ours can judge replies: they are encrypted."""
    works = predicted(a, b)[0].works
    line = "up" if works else "down"
    expected = {"sent": True, "line": line, "received": works, "errors": 0}
    assert seen[run("XFRM interface", a, b, "engine")] == expected


@pytest.mark.parametrize(("a", "b"), ROWS)
def test_with_keys_by_ike(negotiated: Seen, a: Protection, b: Protection) -> None:
    compare(negotiated[run("XFRM interface", a, b)], a, b)


@pytest.mark.parametrize(("a", "b"), ROWS)
def test_in_transport_mode(seen: Seen, a: Protection, b: Protection) -> None:
    """Cisco says nothing of it. With policies for what the tunnel marks, the table is the same."""
    found = seen[run("mark", a, b, "transport")]
    assert found["data"] == {"fate": "reply", "wire": ESP}
    lost = a is PROTECTION
    assert found["line"] == (LOST if lost else UP)
    assert found["wire"] == (CLEAR_ANSWER if lost else ESP)
    assert found["fates"] == (["b XfrmInTmplMismatch"] if lost else ["reply"])
    outcome = predicted(a, b, "transport")[0].outcome
    assert outcome is Outcome.UNKNOWN or LINE[outcome] == found["line"]


@pytest.mark.parametrize("form", ["xfrm", "vti"])
def test_devices_carry_no_transport_mode(seen: Seen, form: str) -> None:
    found = seen[f"b:map:{form}:transport"]
    nothing: dict[str, list[str]] = {"a": [], "b": []}
    (fate,) = found["fates"]
    assert fate.startswith("b ipsec")
    assert fate.endswith(" tx errors")
    assert (found["line"], found["wire"]) == (LOST, nothing)
    assert found["data"] == {"fate": fate, "wire": nothing}


@pytest.mark.parametrize("form", ["xfrm", "vti"])
def test_without_a_guard_clear_text_counts(seen: Seen, form: str) -> None:
    """A device alone makes nobody use it: the line is up on an answer that anybody can write."""
    found = seen[f"b:{form}:{form}:open"]
    assert (found["line"], found["fates"]) == (UP, ["reply"])
    assert found["wire"] == CLEAR_ANSWER


@pytest.mark.parametrize("b", ["map", "xfrm", "route"])
def test_a_route_into_the_device_encrypts_the_answer(seen: Seen, b: str) -> None:
    """The way out that IOS has not: what is sent on to the peer goes by the device as well."""
    found = seen[f"b:route:{b}"]
    assert (found["line"], found["fates"], found["wire"]) == (UP, ["reply"], ESP)
