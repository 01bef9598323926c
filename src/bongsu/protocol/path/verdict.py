"""A comparison in words and numbers, and as JSON."""

from dataclasses import asdict
from typing import Any

from bongsu.protocol.path.compare import LEVEL, Comparison, Difference

HEADLINES = {
    "better": "{b} is better than {a}",
    "worse": "{b} is worse than {a}",
    "mixed": "{b} is better than {a} in one way and worse in another",
    "no difference": "no difference between {a} and {b}",
}


def sentences(found: Comparison, a: str, b: str) -> list[str]:
    """The verdict: a headline, then loss and median RTT each with its interval."""
    return [
        HEADLINES[found.verdict].format(a=a, b=b),
        _loss(found, b),
        _median(found, a, b),
    ]


def _loss(found: Comparison, b: str) -> str:
    before, after = 100 * found.a.loss, 100 * found.b.loss
    difference = found.loss
    if difference.none:
        return (
            f"loss: no difference, {before:.2f} % and {after:.2f} % "
            f"({_interval(difference, 100, 'points')})"
        )
    way = "less" if difference.value < 0 else "more"
    return (
        f"loss: {b} loses {100 * abs(difference.value):.2f} points {way}, {after:.2f} % in place of "
        f"{before:.2f} % ({_interval(difference, 100, 'points')})"
    )


def _median(found: Comparison, a: str, b: str) -> str:
    difference = found.p50_ms
    before, after = found.a.p50_ms, found.b.p50_ms
    if difference is None or before is None or after is None:
        silent = " and ".join(n for n, f in ((a, found.a), (b, found.b)) if f.p50_ms is None)
        return f"median RTT: cannot be compared, {silent} answered nothing"
    if difference.none:
        return (
            f"median RTT: no difference, {before:.2f} ms and {after:.2f} ms "
            f"({_interval(difference, 1, 'ms')})"
        )
    way = "lower" if difference.value < 0 else "higher"
    times = f", {after / before:.2f} times {a}'s" if before else ""
    return (
        f"median RTT: {b}'s is {abs(difference.value):.2f} ms {way}, {after:.2f} ms in place of "
        f"{before:.2f} ms{times} ({_interval(difference, 1, 'ms')})"
    )


def _interval(difference: Difference, scale: float, unit: str) -> str:
    low, high = scale * difference.low, scale * difference.high
    return f"{LEVEL} %: {_plain(low)} to {_plain(high)} {unit}"


def _plain(value: float) -> str:
    text = f"{value:+.2f}"
    return "0" if float(text) == 0 else text


def comparison_dict(found: Comparison, a: str, b: str) -> dict[str, Any]:
    """The comparison for machines; differences are b minus a."""
    names = ("loss", "p50_ms", "p95_ms", "p99_ms", "avg_ms")
    differences = {name: getattr(found, name) for name in names}
    return {
        "a": {"name": a, "loss": found.a.loss, **asdict(found.a)},
        "b": {"name": b, "loss": found.b.loss, **asdict(found.b)},
        "differences": {
            name: None if each is None else {**asdict(each), "verdict": each.word}
            for name, each in differences.items()
        },
        "level_percent": LEVEL,
        "verdict": found.verdict,
        "words": sentences(found, a, b),
    }
