"""VTIs and XFRM interfaces in Debian's kernel: what stands as it should is left alone.

One that is made anew at each apply takes the sessions inside it along.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from bongsu.intent import load_text
from bongsu.model.vpn import Binding
from bongsu.plan.compile import compile_network
from tests.vm.harness import resume

pytestmark = pytest.mark.vm

EXAMPLE = Path(__file__).parents[2] / "examples" / "hybrid-vpn.yaml"
SIX = {"local": "2001:db8::1", "public": "2001:db8::1", "remote": "2001:db8:1::2"}


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    plan = compile_network(load_text(EXAMPLE.read_text(), EXAMPLE.name).network)["cpe"].vpns[0]
    vti = plan.model_dump(mode="json")
    xfrm = vti | {"binding": Binding.XFRM}
    plans = {"vti": vti, "vti6": vti | SIX, "xfrm": xfrm}
    result = resume(
        "exec $PYTHON -m tests.vm.jobs.vpn_interfaces", {"plans.json": json.dumps(plans)}
    )
    assert result.rc == 0, result.output
    return dict(json.loads(result.output[result.output.rindex('{"vti"') :]))


@pytest.mark.parametrize("kind", ["vti", "vti6", "xfrm"])
def test_only_what_differs_is_made_anew(seen: dict[str, Any], kind: str) -> None:
    steps = seen[kind]
    assert [link["info_kind"] for _, _, link in steps] == [kind] * 5
    assert {name: changed for name, changed, _ in steps} == {
        "made": True, "again": False, "mark": True, "mark again": False, "back": True,
    }  # fmt: skip
    own, other = ("0x5", "0x1020304") if kind == "xfrm" else ("0.0.0.5", "1.2.3.4")
    keys = [link["info_data"]["if_id" if kind == "xfrm" else "okey"] for _, _, link in steps]
    assert keys == [own, own, other, other, own]
