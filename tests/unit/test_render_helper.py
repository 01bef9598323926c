"""The CPE helper: everything a person does on both sides, in order, and no secret in it."""

import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from bongsu.model.network import Network
from bongsu.plan.compile import compile_network
from bongsu.render.helper import render
from bongsu.render.helper.html import html
from bongsu.render.helper.markdown import markdown
from bongsu.render.helper.page import Bullets, Check, Heading, Page, Paragraph, Table, text
from tests.golden.networks import HERE, NETWORKS

GOLDEN = HERE / "_pages"
WITH_VPN = [name for name, path in NETWORKS.items() if "\nvpns:" in path.read_text()]


def load(name: str) -> Network:
    return Network.model_validate(yaml.safe_load(NETWORKS[name].read_text()))


@cache
def pages(name: str) -> dict[str, str]:
    network = load(name)
    return render(network, compile_network(network), f"{name}.yaml")


def hub() -> str:
    return pages("hybrid-vpn")["hub.md"]


def without_comment(page: str) -> str:
    return page.split("-->\n", 1)[1]


def test_there_are_networks_to_try() -> None:
    assert {"hybrid-vpn", "vpn-ios", "vpn-vyos"} <= set(WITH_VPN)


@pytest.mark.parametrize("name", WITH_VPN)
def test_two_files_for_each_connection(name: str) -> None:
    vpns = load(name).vpns
    assert set(pages(name)) == {f"{vpn}{kind}" for vpn in vpns for kind in (".md", ".html")}


KEPT = {
    "hybrid-vpn.md": ("hybrid-vpn", "hub.md"),  # document E
    "vpn-alibaba.md": ("vpn-alibaba", "office.md"),  # document B: one customer gateway, two forms
    "accelerated-vpn.md": ("accelerated-vpn", "office.md"),  # an off address for each tunnel
}


@pytest.mark.parametrize("file", KEPT)
def test_a_page_is_as_it_was_read(file: str) -> None:
    """The header is left out: the plan's digest is in it."""
    name, page = KEPT[file]
    shown = without_comment(pages(name)[page])
    kept = GOLDEN / file
    if os.environ.get("BONGSU_UPDATE_GOLDEN"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(shown)
    assert kept.read_text() == shown


ORDER = (
    "Dynamic routing gateway",
    "`DRG-seoul`",
    "CPE object",
    "| IP address | `144.24.84.145` |",
    "IPSec connection",
    "| Routes to your on-premises network | `10.0.0.0/16` |",
    "Tunnel 1",
    "| Provide custom shared secret | the value of `env:OCI_PSK_1` |",
    "| IKE version | `IKEv1` |",
    "| Routing type | `BGP dynamic routing` |",
    "| BGP ASN | `65000` |",
    "| IPv4 inside tunnel interface - CPE | `10.10.10.1/30` |",
    "| IPv4 inside tunnel interface - Oracle | `10.10.10.2/30` |",
    "`GROUP5`",
    "`193.122.99.212`",
    "Tunnel 2",
    "| IPv4 inside tunnel interface - CPE | `10.10.10.5/30` |",
    "`146.56.44.93`",
    "Route rule of the VCN",
    "Security list of the VCN",
    "Let it in at the site",
    "| `193.122.99.212/32` | UDP | `500` |",
    "| `193.122.99.212/32` | UDP | `4500` |",
    "| `10.0.0.0/16` | all | all | inner traffic",
    "Skip source/destination check",
    "Use in-transit encryption",
    "Secrets",
    "bongsu check hybrid-vpn.yaml",
    "bongsu render hybrid-vpn.yaml --node cpe -o bundles",
    "ipsec verify",
    "ipsec status",
    "bongsu show vpn",
    "ping -c 3 -I vti1 10.10.10.2",
    "bongsu show bgp",
    "vtysh -c 'show bgp summary'",
    "ping -c 3 172.16.0.93",
    "ping -c 3 10.0.85.10",
    "ipsec auto --down vti1",
    "after 18 s at the latest",
    "If something stays down",
)


def test_all_that_document_e_does_is_there_in_order() -> None:
    page, place = hub(), 0
    for words in ORDER:
        found = page.find(words, place)
        assert found >= 0, f"{words!r} is not there, or not after what comes before it"
        place = found


ORDER_B = (
    "Accelerators",
    "| `ga-1` | `203.0.113.21` at `pop-shanghai` | `203.0.113.151` at `pop-seoul` | `500, 4500` |",
    "`198.51.100.254` stand for each",
    "In Amazon Web Services",
    "| IP address | `203.0.113.151` |",
    "off address",
    "VPN connection",
    "| Customer gateway | `Existing: shanghai` |",
    "| Local IPv4 network CIDR | `10.20.0.0/16` |",
    "*Local* is the customer's side here",
    "Tunnel 1",
    "`198.51.100.11`",
    "Tunnel 2",
    "`198.51.100.75`",
    "Edit the listeners",
    "| `accelerators.ga-1.listeners.ipsec.endpoints.tunnel-1.address` | `198.51.100.11` |",
    "bongsu plan vpn-alibaba.yaml --since before.yaml",
    "In Alibaba Cloud",
    "Customer gateway seoul-ga1",
    "| IP Address | `203.0.113.21` |",
    "IPsec connection",
    "| Local Network | `10.20.0.0/16` |",
    "| Remote Network | `172.32.0.0/16` |",
    "| IKE: Version | `ikev2` |",
    "| NAT Traversal | `on` |",
    "Policy-based route",
    "| Advertise to VPC | `Yes` |",
    "| To be taken for private | `172.32.0.0/16` |",
    "Secrets",
    "bongsu show accelerator --sessions",
    "`172.32.0.0/16` is public address space",
)


def test_all_that_document_b_does_is_there_in_order() -> None:
    page, place = pages("vpn-alibaba")["office.md"], 0
    for words in ORDER_B:
        found = page.find(words, place)
        assert found >= 0, f"{words!r} is not there, or not after what comes before it"
        place = found
    # One customer gateway, so one connection; and nothing that a service has no shell for.
    assert page.count("## 2. Customer gateway\n") == 1
    for words in ("swanctl", "ipsec status", "ping -c 3 -I", "birdc", "bundles/shanghai"):
        assert words not in page


def test_each_off_address_is_a_customer_gateway_with_a_connection_of_its_own() -> None:
    page = pages("accelerated-vpn")["office.md"]
    titles = re.findall(r"^## \d+\. (.*)$", page, re.M)
    assert titles[1:8] == [
        "Customer gateway gw-shanghai-ga-1",
        "Customer gateway gw-shanghai-ga-2",
        "Virtual private gateway",
        "VPN connection office-ga-1",
        "Tunnel 1 of office-ga-1",
        "VPN connection office-ga-2",
        "Tunnel 1 of office-ga-2",
    ]
    assert "| IP address | `203.0.113.151` |" in page
    assert "| IP address | `203.0.113.152` |" in page
    # The site itself speaks to the accelerated addresses.
    assert "| `203.0.113.21/32` | UDP | `4500` | IKE and ESP behind a NAT |" in page
    assert "ESP (protocol 50)" not in page


def test_without_an_accelerator_nothing_is_said_of_one() -> None:
    for file, page in pages("hybrid-vpn").items():
        assert "accelerat" not in page.lower(), file


@pytest.mark.parametrize("name", WITH_VPN)
def test_steps_are_numbered_and_none_is_empty(name: str) -> None:
    for file, page in pages(name).items():
        if file.endswith(".md"):
            numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", page, re.M)]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= 8
            *steps, last = re.split(r"^## .*$", page, flags=re.M)[1:]
            assert last.strip().startswith("| what is seen | what it is |")
            assert all(re.search(r"^(Check|Run):", step, re.M) for step in steps)


@pytest.mark.parametrize("name", WITH_VPN)
def test_no_field_is_left_open(name: str) -> None:
    for page in pages(name).values():
        assert not re.search(r"\{[a-z_]+\}", page.split("</style>")[-1])
        assert "None" not in page
        assert "| `` |" not in page


def test_a_page_has_references_and_no_secret() -> None:
    network = load("hybrid-vpn")
    assert network.lab is not None
    assert network.lab.secrets
    for page in pages("hybrid-vpn").values():
        for name, value in network.lab.secrets.items():
            assert value not in page
            assert f"env:{name}" in page


COMMANDS = {
    ("vpn-ios", "hub.md"): ("show crypto isakmp sa", "ping 10.10.10.2 source Tunnel1",
                            "show ip bgp summary", "bundles/cpe/root/ios/cpe.cfg"),
    ("vpn-ios", "aws.md"): ("show crypto ikev2 sa", "| Phase 1 DH group numbers | `20` |",
                            "| Inside IPv4 CIDR for tunnel 1 | `169.254.21.0/30` |",
                            "AES256, AES256-GCM-16"),
    ("vpn-ios", "far.md"): ("| IKE version | `1` |",),
    ("vpn-vyos", "hub.md"): ("show vpn ike sa", "ping 10.10.10.6 interface vti2",
                             "bundles/cpe/root/vyos/cpe.commands"),
    ("vpn-vyos", "south.md"): ("ESP (protocol 50)",),
}  # fmt: skip


@pytest.mark.parametrize(("name", "file"), COMMANDS)
def test_every_platform_has_its_own_commands(name: str, file: str) -> None:
    page = pages(name)[file]
    for words in COMMANDS[name, file]:
        assert words in page, words
    assert "ipsec verify" not in page
    assert "bongsu show vpn" not in page


def test_without_bgp_nothing_is_said_of_it() -> None:
    page = pages("vpn-ios")["far.md"]
    assert "BGP" not in page.replace("BGP sessions", "")
    assert "static routes" in page


def test_strongswan_and_bird_have_theirs() -> None:
    data = yaml.safe_load(NETWORKS["hybrid-vpn"].read_text())
    data["nodes"]["cpe"].update(ipsec="strongswan", routing="bird")
    network = Network.model_validate(data)
    page = render(network, compile_network(network))["hub.md"]
    for words in ("swanctl --list-sas", "birdc show protocols", "cloud4_vti1", "bird2"):
        assert words in page
    assert "vtysh" not in page


# Forms


class Balance(HTMLParser):
    """Whether every element ends, in order, and what would be fetched from elsewhere."""

    VOID = {"meta", "input", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {key}" for key, _ in attrs if key in ("src", "href", "action")]
        assert tag not in ("script", "link", "img", "iframe")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read_html(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize("name", WITH_VPN)
def test_html_is_whole_and_needs_nothing_from_elsewhere(name: str) -> None:
    for file, page in pages(name).items():
        if file.endswith(".html"):
            assert read_html(page).fetched == []
            assert "url(" not in page
            assert "@import" not in page
            assert "@media print" in page


def test_both_forms_say_the_same() -> None:
    words = read_html(pages("hybrid-vpn")["hub.html"]).words
    for line in ORDER:
        for part in re.findall(r"`([^`]+)`", line):
            assert part in words


HOSTILE = "file:/a`b|c*d_e<script>alert(1)</script>``x"


def test_no_value_becomes_markup() -> None:
    cells = text("{x} and *said* and `typed`", {"x": HOSTILE})
    page = Page(
        text("{x}", {"x": HOSTILE}),
        (
            Heading(2, cells),
            Paragraph(cells),
            Bullets((cells,)),
            Table(("a", "b"), ((cells, cells),)),
            Check((HOSTILE, "```"), cells),
        ),
    )
    shown = html(page, [HOSTILE])
    assert "<script>" not in shown
    assert HOSTILE in read_html(shown).words
    lines = markdown(page, []).splitlines()
    (row,) = [line for line in lines if line.startswith("| `")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3, "bars within a value do not end a cell"
    fences = [line for line in lines if re.fullmatch(r"`{3,}(sh)?", line)]
    assert fences == ["````sh", "```", "````"], "a fence is longer than any in what it holds"


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        text("{nothing}", {})


def test_golden_has_no_more_than_is_tested() -> None:
    assert {path.name for path in Path(GOLDEN).iterdir()} == set(KEPT)


def with_lan(**more: object) -> str:
    """Document E's page, with the hosts behind a second interface of the gateway."""
    raw = yaml.safe_load(NETWORKS["hybrid-vpn"].read_text())
    raw.pop("tests")
    lab = raw.pop("lab")
    raw["nodes"]["cpe"]["interfaces"]["ens4"] = {"role": "lan", "addresses": ["10.0.85.1/24"]}
    raw["nodes"]["cpe"] |= more
    if not more:
        lab["hosts"] = {"vm-onprem": {"node": "cpe", "interface": "ens4", "address": "10.0.85.10"},
                        "vm-cloud": {"cloud": "seoul", "address": "172.16.0.93"}}  # fmt: skip
        raw["lab"] = lab
    network = Network.model_validate(raw)
    return render(network, compile_network(network), "e.yaml")["hub.md"]


@pytest.mark.parametrize("more", [{}, {"platform": "ios"}, {"platform": "vyos"}])
def test_a_lan_of_its_own_has_its_own_address(more: dict[str, object]) -> None:
    """Neighbours send to it, filters stand in front of it, and what the gateway tries comes from it."""
    there = "HOST" if more else "172.16.0.93"
    ping = {
        "ios": f"ping {there} source 10.0.85.1",
        "vyos": f"ping {there} source-address 10.0.85.1 count 3",
    }.get(str(more.get("platform")), f"ping -c 3 -I 10.0.85.1 {there}")
    page = with_lan(**more)
    assert ping in page.splitlines()
    outer, inner = page.split("Every filter in front of ")[1:3]
    assert outer.startswith("`10.0.236.153`")
    assert "| `10.0.0.0/16` |" not in outer
    assert inner.startswith("`10.0.85.1`, on ens4, has to let in:")
    assert "| `10.0.0.0/16` | all | all | inner traffic" in inner
    if not more:
        assert "packets for `172.16.0.0/24, 172.16.1.0/24` to `10.0.85.1`." in page
        assert "is to be said of `ens4` as well" in page
        assert "tcpdump -ni ens4 net 172.16.0.0/24" in page
        assert "ip route get 172.16.0.1 from 10.0.85.1" in page


def test_a_lan_behind_a_router_is_where_the_route_leads() -> None:
    raw = yaml.safe_load(NETWORKS["hybrid-vpn"].read_text())
    raw.pop("tests"), raw.pop("lab")
    cpe = raw["nodes"]["cpe"]
    cpe["interfaces"]["ens4"] = {"role": "lan", "addresses": ["192.168.7.1/24"]}
    cpe["routes"] = [{"to": "10.0.0.0/16", "via": "192.168.7.2"}]
    network = Network.model_validate(raw)
    page = render(network, compile_network(network), "e.yaml")["hub.md"]
    assert "Every filter in front of `192.168.7.1`, on ens4, has to let in:" in page


def test_without_a_lan_of_its_own_nothing_is_said_of_one() -> None:
    assert hub().count("Every filter in front of") == 1
    assert "as well: the neighbours" not in hub()
    assert " from 10." not in hub()
