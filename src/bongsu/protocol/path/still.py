"""A chart for programs that know less of CSS than a browser: by day, every colour in its place.

Of the style that bongsu.protocol.path.chart writes, and of no other.
"""

import re

FONTS = (
    *("DejaVu Sans", "Liberation Sans", "Noto Sans", "Open Sans", "Roboto", "Cantarell", "Ubuntu"),
    *("Arial", "Helvetica"),
)
"""What machines have: such a program does not know what `system-ui` stands for."""
SIZE_PX = 12

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_NIGHT = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SET = re.compile(r"--(\w+):\s*([^;}]+);?")
_USED = re.compile(r"var\(--(\w+)\)")


def still(svg: str) -> str:
    """The chart with plain rules in place of variables, media queries and the font's shorthand."""
    found = _STYLE.search(svg)
    if found is None:
        raise ValueError("this chart has no style")
    rules = [
        (selector.strip(), body.strip())
        for selector, body in _RULE.findall(_NIGHT.sub("", found[1]))
    ]
    # `.a { --run: var(--a) }` is a colour for all that is within `.a`; `svg { … }` for all there is.
    everywhere, within = dict[str, str](), dict[str, str]()
    for selector, body in rules:
        for name, value in _SET.findall(body):
            if selector == "svg":
                everywhere[name] = value.strip()
            else:
                within[selector] = _filled(value.strip(), everywhere)
    lines = [
        f"text {{ font-family: {', '.join(repr(font) for font in FONTS)}, sans-serif; "
        f"font-size: {SIZE_PX}px; }}"
    ]
    for selector, body in rules:
        if selector == "svg" or selector in within:
            continue
        if "var(--run)" not in body:
            lines.append(f"{selector} {{ {_filled(body, everywhere)} }}")
            continue
        for scope, run in within.items():
            scoped = ", ".join(f"{scope} {one.strip()}" for one in selector.split(","))
            lines.append(f"{scoped} {{ {_filled(body, everywhere | {'run': run})} }}")
    style = "\n".join(lines)
    rest = _filled(svg[found.end() :], everywhere)
    return f"{svg[: found.start()]}<style>\n{style}\n</style>{rest}"


def _filled(text: str, values: dict[str, str]) -> str:
    return _USED.sub(lambda used: values.get(used[1], used[0]), text)
