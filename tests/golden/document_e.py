"""Document E's own files, as facts: what it sets, file by file, option by option.

A site behind a 1:1 NAT with Libreswan 4.5 and FRR 7.5.1, joined to Oracle's cloud. Nothing of its
wording is here; keys are in one spelling (lower case), secrets are left out.
"""

LIBRESWAN = {
    "Tunnel-1": {
        "left": "10.0.236.153",
        "leftid": "144.24.84.145",
        "right": "193.122.99.212",
        "authby": "secret",
        "leftsubnet": "0.0.0.0/0",
        "rightsubnet": "0.0.0.0/0",
        "auto": "start",
        "mark": "5/0xffffffff",
        "vti-interface": "vti1",
        "vti-routing": "no",
        "leftvti": "10.10.10.1/30",
        "ikev2": "no",
        "ike": "aes_cbc256-sha2_384;modp1536",
        "phase2alg": "aes_gcm256;modp1536",
        "encapsulation": "yes",
        "ikelifetime": "28800s",
        "salifetime": "3600s",
    },
    "Tunnel-2": {
        "left": "10.0.236.153",
        "leftid": "144.24.84.145",
        "right": "146.56.44.93",
        "authby": "secret",
        "leftsubnet": "0.0.0.0/0",
        "rightsubnet": "0.0.0.0/0",
        "auto": "start",
        "mark": "6/0xffffffff",
        "vti-interface": "vti2",
        "vti-routing": "no",
        "leftvti": "10.10.10.5/30",
        "ikev2": "no",
        "ike": "aes_cbc256-sha2_384;modp1536",
        "phase2alg": "aes_gcm256;modp1536",
        "encapsulation": "yes",
        "ikelifetime": "28800s",
        "salifetime": "3600s",
    },
}

SECRETS = [("144.24.84.145", "193.122.99.212", "psk"), ("144.24.84.145", "146.56.44.93", "psk")]
"""Whose key each is."""

BGPD = {
    ("hostname libreswancpe",),
    ("log file //bgpd.log",),
    ("log stdout",),
    ("router bgp 65000",),
    ("router bgp 65000", "bgp router-id 10.10.10.1"),
    ("router bgp 65000", "timers bgp 6 18"),
    ("router bgp 65000", "neighbor 10.10.10.2 remote-as 31898"),
    ("router bgp 65000", "neighbor 10.10.10.2 ebgp-multihop 255"),
    ("router bgp 65000", "neighbor 10.10.10.2 timers 6 18"),
    ("router bgp 65000", "neighbor 10.10.10.6 remote-as 31898"),
    ("router bgp 65000", "neighbor 10.10.10.6 ebgp-multihop 255"),
    ("router bgp 65000", "neighbor 10.10.10.6 timers 6 18"),
    ("router bgp 65000", "ipv4 unicast", "network 10.0.0.0/16"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.2 next-hop-self"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.2 soft-reconfiguration inbound"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.2 route-map ALLOW-ALL in"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.2 route-map BGP-ADVERTISE-OUT out"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.6 next-hop-self"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.6 soft-reconfiguration inbound"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.6 route-map ALLOW-ALL in"),
    ("router bgp 65000", "ipv4 unicast", "neighbor 10.10.10.6 route-map BGP-ADVERTISE-OUT out"),
    ("ip prefix-list BGP-OUT seq 10 permit 10.0.0.0/16",),
    ("route-map BGP-ADVERTISE-OUT permit 10",),
    ("route-map BGP-ADVERTISE-OUT permit 10", "match ip address prefix-list BGP-OUT"),
    ("route-map ALLOW-ALL permit 100",),
}
"""Commands, each with the modes it stands in."""

DAEMONS = {
    "bgpd": "yes",
    "ospfd": "no",
    "ospf6d": "no",
    "ripd": "no",
    "ripngd": "no",
    "isisd": "no",
    "pimd": "no",
    "nhrpd": "no",
    "eigrpd": "no",
    "sharpd": "no",
    "pbrd": "no",
    "bfdd": "no",
    "fabricd": "no",
}

SYSCTL = {
    "kernel.unknown_nmi_panic": "1",
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.accept_redirects": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv4.conf.ens3.send_redirects": "0",
    "net.ipv4.conf.default.accept_redirects": "0",
    "net.ipv4.conf.ens3.accept_redirects": "0",
}

FIREWALLD = {"udp/500", "udp/4500"}
"""What is let in."""
