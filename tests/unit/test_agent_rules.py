"""Which way the replies of a home's prefixes go."""

from ipaddress import ip_network

from bongsu.system.rules import Rule, reply_rules


def test_replies_leave_by_the_table_or_not_at_all() -> None:
    for prefix in (ip_network("103.178.34.0/23"), ip_network("2001:db8:34::/48")):
        assert reply_rules([prefix], 103) == [
            Rule(prefix, 1000, 254, main_without_default=True),
            Rule(prefix, 1001, 103),
            Rule(prefix, 1002, None),
        ]
