"""What a check passes, the renderer takes; what it refuses, a check has said. Predictions likewise."""

from itertools import islice, product
from typing import Any

from bongsu.checks import Severity, run_checks
from bongsu.intent import load_text
from bongsu.model.node import Platform
from bongsu.plan.compile import compile_network
from bongsu.plan.node import NodePlan
from bongsu.plan.prediction import Secrecy, Speech, predict_keepalive
from bongsu.plan.reflection import Obstacle
from bongsu.render import RenderError, render_node

PFSENSE = """
version: 1
name: small
owner: {{asn: 64500, prefixes: [103.178.34.0/23]}}
nodes:
  seoul:
    role: pop
    interfaces: {{ens3: {{role: uplink, addresses: [203.0.113.10/24], gateway: 203.0.113.1}}}}
    bgp: {{neighbors: {{up: {{asn: 64515, address: 203.0.113.1}}}}}}
    announce: [{{prefix: 103.178.34.0/23}}]
  home:
    role: home
    platform: pfsense
    interfaces:
      wan: {{role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}}
      {lan}: {{role: lan, addresses: [103.178.34.1/23]}}
{home}
tunnels:
  gre-seoul:
    ends:
      seoul: {{addresses: [10.99.1.1/30]{seoul_end}}}
      home: {{addresses: [10.99.1.2/30]{home_end}}}
    bgp: false
    egress: true
    insecure: true
{tunnel}
"""
ENDS = ("", ", keepalive: false", ", keepalive: {seconds: 5}")
HOME_ENDS = (", keepalive: false, rpf: loose", ", inbound: [], vrf: red")
CHOICES = {
    "lan": ("lan", "opt12", "igb1", "opt"),
    "home": (
        "",
        "    announce: [{prefix: 103.178.34.0/23}]",
        "    bgp: {neighbors: {up: {asn: 64510, address: 192.0.2.1}}}",
        "    routes: [{to: 10.0.0.0/8, via: gre-seoul}]",
    ),
    "tunnel": ("", "    key: 0", "    keepalive: {}", "    ipsec: {psk: 'env:PSK'}"),
    "seoul_end": ENDS,
    "home_end": (*ENDS, *HOME_ENDS),
}


def refused(plan: NodePlan) -> str:
    """Why the renderer refuses it; empty if it does not."""
    try:
        render_node(plan)
    except RenderError as error:
        return str(error)
    return ""


def test_of_a_pfsense_check_and_render_say_the_same() -> None:
    """What pfSense can and cannot do, in combination: the same verdict, the same reasons.

    Every seventh: no choice has seven values, so all pairs of choices come up.
    """
    verdicts = set()
    for chosen in islice(product(*CHOICES.values()), 0, None, 7):
        text = PFSENSE.format(**dict(zip(CHOICES, chosen, strict=True)))
        network = load_text(text, "f").network
        plans = compile_network(network)
        found = [item for item in run_checks(network, plans) if item.code == "PFS001"]
        refusal = refused(plans["home"])
        assert bool(found) == bool(refusal), text
        assert all(f"{item.message} ({item.hint})" in refusal for item in found)
        assert refusal.count(";") == max(len(found) - 1, 0)
        verdicts.add(bool(found))
    assert verdicts == {True, False}


IOS = """
version: 1
name: small
nodes:
  a:
    role: router
    interfaces: {{eth0: {{role: link, addresses: [{family[0]}]}}}}
  b:
    role: {role}
    platform: ios
    interfaces: {{gi0-0: {{role: link, addresses: [{family[1]}]}}}}
tunnels:
  tunnel0:
    ends:
      a: {{addresses: [10.10.10.1/30]}}
      b: {{addresses: [10.10.10.2/30]{end}}}
    bgp: {bgp}
    keepalive: {keepalive}
"""
IOS_CHOICES: dict[str, tuple[Any, ...]] = {
    "family": (("172.31.0.1/30", "172.31.0.2/30"), ("'fd00::1/64'", "'fd00::2/64'")),
    "role": ("router", "home"),
    "end": ("", ", keepalive: false", ", keepalive: {seconds: 5}", ", rpf: strict, inbound: []"),
    "bgp": ("false", "true"),
    "keepalive": ("{}", "{milliseconds: 50}", "{nonce: true}", "{dialect: huawei, up_after: 2}"),
}


def test_of_an_ios_check_and_render_say_the_same() -> None:
    verdicts = set()
    for chosen in product(*IOS_CHOICES.values()):
        text = IOS.format(**dict(zip(IOS_CHOICES, chosen, strict=True)))
        network = load_text(text, "f").network
        plans = compile_network(network)
        found = [item for item in run_checks(network, plans) if item.code == "IOS001"]
        refusal = refused(plans["b"])
        assert bool(found) == bool(refusal), text
        assert all(f"{item.message} ({item.hint})" in refusal for item in found)
        verdicts.add(bool(found))
    assert verdicts == {True, False}


FRR = """
version: 1
name: small
owner: {{asn: 64500, prefixes: [103.178.34.0/23]}}
nodes:
  a:
    role: {role}
    routing: frr
    interfaces:
      eth0: {{role: uplink, addresses: [203.0.113.10/24], gateway: 203.0.113.1}}
      lan: {{role: lan, addresses: [103.178.34.1/23]}}
{node}
  b:
    role: {far}
    interfaces: {{eth0: {{role: uplink, addresses: [192.0.2.10/24], gateway: 192.0.2.1}}}}
    announce: [{announced}]
tunnels:
  tunnel0:
    ends: {{a: {{addresses: [10.10.10.1/30]}}, b: {{addresses: [10.10.10.2/30]}}}}
    bgp: {bgp}
    insecure: true
    egress: true
{vpn}
"""
FRR_CHOICES = {
    "role": ("router", "home", "pop"),
    "far": ("pop", "home", "router"),
    "announced": ("", "{prefix: 103.178.34.0/23}"),
    "node": (
        "",
        "    announce: [{prefix: 103.178.34.0/23}]",
        "    bgp: {neighbors: {up: {asn: 64510, address: 203.0.113.1}}}",
        "    policies: [{from: 103.178.34.0/24, via: [203.0.113.1]}]",
        "    routes: [{to: 192.168.9.0/24, via: 203.0.113.1}]",
    ),
    "bgp": ("false", "true"),
    "vpn": (
        "",
        "clouds: {c: {profile: oci, networks: [172.16.0.0/16]}}\n"
        "vpns: {v: {site: a, cloud: c, bgp: {}, tunnels: {t: {headend: 198.51.100.9, "
        "inside: 10.20.0.1/30, psk: 'env:K'}}}}",
    ),
}


def test_of_frr_check_and_render_say_the_same() -> None:
    """Every seventh: no choice has seven values, so all pairs of choices come up."""
    verdicts = set()
    for chosen in islice(product(*FRR_CHOICES.values()), 0, None, 7):
        text = FRR.format(**dict(zip(FRR_CHOICES, chosen, strict=True)))
        network = load_text(text, "f").network
        plans = compile_network(network)
        found = [item for item in run_checks(network, plans) if item.code == "FRR001"]
        refusal = refused(plans["a"])
        assert bool(found) == bool(refusal), text
        assert all(f"{item.message} ({item.hint})" in refusal for item in found), refusal
        verdicts.add(bool(found))
    assert verdicts == {True, False}


IKE = """
version: 1
name: small
nodes:
  cpe:
    role: router
    ipsec: {daemon}
    interfaces:
      ens3: {{role: uplink, addresses: [10.0.0.2/24], gateway: 10.0.0.1, public: 203.0.113.9}}
clouds: {{c: {{profile: generic, asn: 64999, networks: [{cloud}]}}}}
vpns:
  v:
    site: cpe
    cloud: c
    networks: [10.0.0.0/24]
    binding: {binding}
    bgp: {{}}
    ike: {{version: {version}, proposals: [{ike}], lifetime_s: {lifetime}}}
    esp: {{proposals: [{esp}]}}
    tunnels: {{{name}: {{headend: 198.51.100.9, inside: 10.20.0.1/30, psk: 'env:K', mark: 7}}}}
"""
IKE_CHOICES: dict[str, tuple[Any, ...]] = {
    "daemon": ("libreswan", "strongswan"),
    "cloud": ("172.16.0.0/16", "'fd00::/48'"),
    "binding": ("vti", "xfrm", "policy"),
    "version": (1, 2),
    "ike": ("aes256-sha256-modp2048", "aes256-sha256-modp1024", "aes256gcm16-prfsha256-ecp256"),
    "lifetime": (3600, 100000),
    "esp": ("aes256-sha256", "aes256gcm16-ecp256, aes256-sha256-modp2048", "des-md5"),
    "name": ("ipsec7", "tun0"),
}


def test_of_ike_daemons_check_and_render_say_the_same() -> None:
    """Every seventh: no choice has seven values, so all pairs of choices come up."""
    verdicts = set()
    for chosen in islice(product(*IKE_CHOICES.values()), 0, None, 7):
        text = IKE.format(**dict(zip(IKE_CHOICES, chosen, strict=True)))
        network = load_text(text, "f").network
        plans = compile_network(network)
        found = [item for item in run_checks(network, plans) if item.severity is Severity.ERROR]
        refusal = refused(plans["cpe"])
        assert not refusal or found, text
        by_daemon = [item for item in found if item.code == "LSW001"]
        assert not by_daemon or refusal, text
        verdicts.add((bool(by_daemon), bool(refusal)))
    assert verdicts >= {(True, True), (False, False)}


FATES: dict[str, tuple[str, ...]] = {
    "platform": ("linux", "ios"),
    "rpf": ("", ", rpf: strict", ", rpf: loose"),
    "inbound": (
        "",
        ", inbound: []",
        ", inbound: [{permit: gre, from: 172.31.0.2/32, to: 172.31.0.1/32}]",
    ),
    "vrf": ("", ", vrf: red", ", vrf: red, transport_vrf: red"),
    "protection": (", protection: tunnel-protection", ", protection: crypto-map"),
    "tunnel": (
        "",
        ", ipsec: {psk: 'env:PSK'}",
        ", ipsec: {psk: 'env:PSK', mode: transport}",
        ", multipoint: true",
    ),
    "dialect": ("cisco", "huawei", "velocloud"),
}
CODE_OF = {
    Obstacle.RPF: "GRE006",
    Obstacle.VRF: "GRE007",
    Obstacle.ACCESS: "GRE008",
    Obstacle.MULTIPOINT: "GRE010",
    Secrecy.CLEAR: "GRE011",
    Secrecy.UNTRIED: "GRE011",
    Speech.FOREIGN: "GRE012",
    Speech.UNHEARD: "GRE012",
}


def test_whatever_keeps_a_keepalive_from_home_is_found_and_nothing_else() -> None:
    """All that the prediction knows of, in combination: a code for each reason.

    Every seventh of them: no choice has seven values, so all pairs of choices come up.
    """
    seen = set()
    for chosen in islice(product(*FATES.values()), 0, None, 7):
        of = dict(zip(FATES, chosen, strict=True))
        text = f"""
            version: 1
            name: small
            nodes:
              a: {{role: router, interfaces: {{eth0: {{role: link, addresses: [172.31.0.1/30]}}}}}}
              b: {{role: router, platform: {of["platform"]}, interfaces: {{gi0-0: {{role: link,
                addresses: [172.31.0.2/30]}}}}}}
            tunnels:
              tunnel0: {{bgp: false, key: 1, keepalive: {{dialect: {of["dialect"]}}}{of["tunnel"]},
                ends: {{a: {{addresses: [10.10.10.1/30]}}, b: {{addresses: [10.10.10.2/30],
                keepalive: false{of["rpf"]}{of["inbound"]}{of["vrf"]}{of["protection"]}}}}}}}
            """
        network = load_text(text, "f").network
        plans = compile_network(network)
        far = Platform(of["platform"])
        prediction = predict_keepalive(
            plans["a"].tunnel("tunnel0"), plans["b"].tunnel("tunnel0"), far
        )
        found = {item.code for item in run_checks(network, plans)} & set(CODE_OF.values())
        assert found == {CODE_OF[reason] for reason in prediction.reasons}, text
        assert prediction.works == (not found)
        seen |= set(prediction.reasons)
    assert seen == set(CODE_OF)
