"""A tunnel loses every tenth packet: its routes count less, traffic goes by the other, no session ends."""

import os
import signal
from pathlib import Path

import pytest

from bongsu.system.run import run
from tests.root.agent_box import until
from tests.root.vpn_world import HEADENDS, plans, world

pytestmark = pytest.mark.root

LOSS = """
table ip part {{
  chain f {{
    type filter hook forward priority 0;
    ip daddr {headend} meta length < 200 numgen inc mod 10 0 drop
  }}
}}
"""


@pytest.mark.parametrize("routing", ["frr", "bird"])
def test_loss_moves_the_traffic_and_resets_nothing(tmp_path: Path, routing: str) -> None:
    site, cloud = plans(routing=routing, version=2)
    with world(tmp_path) as here:
        here.start(site, cloud, pid_namespace=False)
        here.wait_up()
        until(lambda: here.way() == "vti1", "the first tunnel is not preferred", 30)
        before = here.sessions()
        run(["nft", "-f", "-"], netns=here.middle.netns,
            input=LOSS.format(headend=HEADENDS["vti1"]))  # fmt: skip
        until(lambda: here.way() == "vti2", "the traffic did not leave it", 60)
        assert here.reaches()
        tunnel = here.tunnels()["vti1"]
        assert (tunnel["state"], tunnel["code"], tunnel["lowered"]) == ("degraded", "loss", True)

        def told() -> list[str]:
            return [e["cause"] for e in here.cpe.events("preference") if e["subject"] == "vti1"]

        until(lambda: len(told()) >= 2, "its effect was not seen", 30)
        assert "of the probes are lost" in told()[0]
        assert told()[1] == (
            "in effect: local preference 20, our AS 2 times more in what is announced"
        )
        for name, session in here.sessions().items():
            assert session["since_s"] >= before[name]["since_s"]
        far = here.cloud.client.call("bgp")["neighbors"]
        assert all(each["established"] for each in far)
        # The cloud, too, sends by the other: it sees a longer path.
        way = here.cloud.text("ip", "route", "get", "10.0.85.1", "from", "172.16.0.1")
        assert " dev vti2 " in way

        # Another agent takes it over as it is, though it has counted no probe yet.
        os.kill(here.cpe.client.call("status")["pid"], signal.SIGKILL)
        here.cpe.wait_end()
        here.cpe.start("/run/bundle", pid_namespace=False)
        here.cpe.wait_ready()
        assert until(lambda: here.cpe.events("preference"), "nothing was found")[0]["cause"] == (
            "found lowered"
        )
        assert here.way() == "vti2"
        assert here.tunnels()["vti1"]["lowered"]
