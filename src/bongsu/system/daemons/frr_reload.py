"""Two of our frr.conf -> the commands that make the second of the first, and leave the rest alone.

Both texts are the renderer's, so equal lines mean equal things and nothing is compared with what FRR
makes of them: a file that has not changed makes no command, and no session is reset. A line that only
got another value is not taken away before. Knows no more of FRR than the lines that are rendered;
what it does not know is taken away and put back by the whole line.

What comes goes in first and what leaves goes last, so that no route is away in between; except a
`router` that leaves, for one process has one AS number.
"""

import re
from collections.abc import Iterable

Path = tuple[str, ...]
"""A context: `("router bgp 65000", "address-family ipv4 unicast")`; () is the top."""

_ENDS = re.compile(r"exit(-\w+)*$")
_VALUES = [
    re.compile(pattern)
    for pattern in (
        r"neighbor (\S+) timers connect ",
        r"neighbor (\S+) timers ",
        r"neighbor (\S+) bfd profile ",
        r"neighbor (\S+) route-map \S+ (in|out)$",
        r"neighbor (\S+) (remote-as|description|password|ebgp-multihop|update-source"
        r"|maximum-prefix) ",
        r"bgp router-id ",
        r"maximum-paths ",
        r"match (ip|ipv6) address prefix-list ",
        r"set (local-preference|metric|as-path prepend) ",
        r"(detect-multiplier|transmit-interval|receive-interval) ",
        r"(ip|ipv6) prefix-list (\S+) seq (\d+) ",
        r"hostname ",
        r"frr defaults ",
    )
]
"""Lines that replace another one with the same beginning."""
_NEIGHBOR = re.compile(r"neighbor (\S+) ")
_NEVER = re.compile(r"(frr (version|defaults)|hostname|log|service|password) ?")
"""Settings of the whole that are not taken back."""


def changes(old: str, new: str) -> list[str]:
    """Commands for `vtysh -f`, contexts included; none for texts that say the same."""
    before, after = _parse(old), _parse(new)
    gone_tops = [c for c in before if len(c) == 1 and c not in after]
    first = [f"no {c[0]}" for c in gone_tops if c[0].startswith("router ")]
    last = [f"no {c[0]}" for c in gone_tops if not c[0].startswith("router ")]
    additions: list[str] = []
    removals: list[str] = []
    for context in dict.fromkeys([*after, *before]):
        if context and (context[0],) in gone_tops:
            continue
        had, has = before.get(context, []), after.get(context, [])
        added = [line for line in has if line not in had]
        if added or (context in after and context not in before):
            additions += _in(context, added)
        keys = {_key(line) for line in has}
        lost = [line for line in had if line not in has and _key(line) not in keys]
        removals += _in(context, _taken_back(lost, before, after, context))
    return [*first, *additions, *removals, *last]


def _parse(text: str) -> dict[Path, list[str]]:
    """Lines by context. Contexts are told by what is indented below them, or by a closing line."""
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith(("!", "#"))]
    found: dict[Path, list[str]] = {(): []}
    stack: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        depth, words = len(line) - len(line.lstrip()), line.strip()
        while stack and stack[-1][0] >= depth:
            stack.pop()
        if _ENDS.match(words):
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        deeper = len(following) - len(following.lstrip()) > depth
        context = tuple(name for _, name in stack)
        if deeper or (_ENDS.match(following.strip()) and not stack and depth == 0):
            stack.append((depth, words))
            found.setdefault((*context, words), [])
        else:
            found.setdefault(context, []).append(words)
    return found


def _in(context: Path, lines: Iterable[str]) -> list[str]:
    body = list(lines)
    if not context:
        return body
    if not body:
        return []
    return [
        *(" " * depth + name for depth, name in enumerate(context)),
        *(" " * len(context) + line for line in body),
        *(" " * depth + _close(context[depth]) for depth in reversed(range(len(context)))),
    ]


def _close(context: str) -> str:
    return "exit-address-family" if context.startswith("address-family") else "exit"


def _taken_back(
    lines: list[str], before: dict[Path, list[str]], after: dict[Path, list[str]], context: Path
) -> list[str]:
    """`no` for each; a neighbor that leaves altogether takes its own lines with it."""
    router = context[:1]
    leaving = _neighbors(before.get(router, [])) - _neighbors(after.get(router, []))
    found = []
    for line in lines:
        neighbor = _NEIGHBOR.match(line)
        if neighbor and neighbor[1] in leaving:
            if context == router and line.split()[2] == "remote-as":
                found.append(f"no neighbor {neighbor[1]}")
            continue
        if not _NEVER.match(line):
            found.append(line.removeprefix("no ") if line.startswith("no ") else f"no {line}")
    return found


def _neighbors(lines: Iterable[str]) -> set[str]:
    return {line.split()[1] for line in lines if re.match(r"neighbor \S+ remote-as ", line)}


def _key(line: str) -> str:
    """What a line sets, without the value."""
    for number, pattern in enumerate(_VALUES):
        if found := pattern.match(line):
            return f"{number} {found.groups()}"
    return line
