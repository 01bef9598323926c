"""Addresses of tunnel interfaces and policy rules, by netlink, in the caller's network namespace.

Rules of ours carry the rule protocol number 103 (FRA_PROTOCOL, fib_rules.h), so that stale ones are
found and nobody else's are touched. Addresses are only ever changed on interfaces that the caller
names as its own. Both functions compare first and change only what differs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from typing import Any, Literal

from pyroute2 import IPRoute

from bongsu.model.base import Interface, Prefix

RULE_PROTOCOL = 103
_FAMILY = {4: 2, 6: 10}
_EVERY_SOURCE = {4: "0.0.0.0", 6: "::"}  # noqa: S104  a prefix, nothing is bound to it
_MAIN_TABLE = 254
_LOOKUP, _UNREACHABLE = 1, 7
_SCOPE_LINK = 253
_NODAD = 0x02


@dataclass(frozen=True)
class Rule:
    """`ip rule` with `from PREFIX`."""

    source: Prefix
    priority: int
    table: int | None
    """None: unreachable."""
    main_without_default: bool = False
    """`suppress_prefixlength 0`: the table's default route does not count."""


def reply_rules(prefixes: Iterable[Prefix], table: int) -> list[Rule]:
    """Replies of `prefixes` leave by `table` unless the machine itself knows better, or not at all.

    Without the last rule they would leave by the WAN when no tunnel lives, with a source address
    that the WAN's provider drops (BCP 38), or worse, does not.
    """
    rules = []
    for prefix in prefixes:
        rules += [
            Rule(prefix, 1000, _MAIN_TABLE, main_without_default=True),
            Rule(prefix, 1001, table),
            Rule(prefix, 1002, None),
        ]
    return rules


def set_rules(wanted: Iterable[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Make our rules exactly these; returns (added, removed). Raises NetlinkError."""
    goal = set(wanted)
    with IPRoute() as ip:
        present = {
            rule
            for family in (4, 6)
            for message in ip.get_rules(family=_FAMILY[family])
            if (rule := _rule(message, family)) is not None
        }
        added = sorted(goal - present, key=lambda rule: rule.priority)
        removed = sorted(present - goal, key=lambda rule: rule.priority)
        # New before old: a reply never finds a gap.
        for rule in added:
            ip.rule("add", **_arguments(rule))
        for rule in removed:
            ip.rule("del", **_arguments(rule))
    return added, removed


def set_addresses(
    wanted: dict[str, list[Interface]],
) -> list[tuple[Literal["add", "del"], str, Interface]]:
    """Give each named interface exactly these addresses, and return what was changed.

    Link-local addresses that the kernel made are left alone. Raises KeyError for an interface that
    does not exist, NetlinkError when the kernel refuses.
    """
    changes: list[tuple[Literal["add", "del"], str, Interface]] = []
    with IPRoute() as ip:
        index = {link.get_attr("IFLA_IFNAME"): link["index"] for link in ip.get_links()}
        present = _addresses(ip)
        for name, addresses in wanted.items():
            for address in sorted(present.get(index[name], set()) - set(addresses), key=str):
                _address(ip, "del", index[name], address)
                changes.append(("del", name, address))
        if changes:
            # With the first address of a subnet the kernel takes its others along.
            present = _addresses(ip)
        for name, addresses in wanted.items():
            for address in addresses:
                if address not in present.get(index[name], set()):
                    _address(ip, "add", index[name], address)
                    changes.append(("add", name, address))
    return changes


def _addresses(ip: Any) -> dict[int, set[Interface]]:
    present: dict[int, set[Interface]] = {}
    for message in ip.get_addr():
        if message["scope"] == _SCOPE_LINK and message["family"] == _FAMILY[6]:
            continue
        local = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        address = ip_interface(f"{local}/{message['prefixlen']}")
        present.setdefault(message["index"], set()).add(address)
    return present


def _address(ip: Any, verb: str, index: int, address: Interface) -> None:
    extra = {"flags": _NODAD} if address.version == 6 and verb == "add" else {}
    ip.addr(
        verb, index=index, address=str(address.ip), prefixlen=address.network.prefixlen, **extra
    )


def _rule(message: Any, family: int) -> Rule | None:
    if message.get_attr("FRA_PROTOCOL") != RULE_PROTOCOL:
        return None
    source = message.get_attr("FRA_SRC") or _EVERY_SOURCE[family]
    unreachable = message["action"] == _UNREACHABLE
    return Rule(
        ip_network(f"{source}/{message['src_len']}"),
        message.get_attr("FRA_PRIORITY"),
        None if unreachable else message.get_attr("FRA_TABLE") or message["table"],
        main_without_default=message.get_attr("FRA_SUPPRESS_PREFIXLEN") == 0,
    )


def _arguments(rule: Rule) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "family": _FAMILY[rule.source.version],
        "src": str(rule.source.network_address),
        "src_len": rule.source.prefixlen,
        "priority": rule.priority,
        "protocol": RULE_PROTOCOL,
        "action": _UNREACHABLE if rule.table is None else _LOOKUP,
    }
    if rule.table is not None:
        arguments["table"] = rule.table
    if rule.main_without_default:
        arguments["FRA_SUPPRESS_PREFIXLEN"] = 0
    return arguments
