"""The lab's Internet in BIRD's words: a configuration for each AS router. Text only, no I/O."""

import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from bongsu.lab.blueprint import Router
from bongsu.model.base import Address, Family

_environment = Environment(
    loader=PackageLoader("bongsu.lab", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701  the output is BIRD's, not HTML; names are checked by the model
)
_environment.filters["symbol"] = lambda name: "s_" + re.sub(r"[^a-z0-9]", "_", name)


def session_symbol(name: str) -> str:
    """BIRD's name for the session called `name`."""
    return str(_environment.filters["symbol"](name))


def router_config(
    router: Router,
    secrets: Mapping[str, str],
    families: tuple[Family, ...],
    vantage: Mapping[int, Address] | None = None,
) -> str:
    """`bird.conf` of a lab router. `secrets` maps references (`env:NAME`) to throw-away values.

    `vantage` are a vantage point's own addresses by family: what is run there speaks from them. A
    router that forwards for others tells of a spent TTL from the link, and has none.
    """
    template = _environment.get_template("as.conf.j2")
    return template.render(
        router=router, secrets=secrets, families=families, speaks=dict(vantage or {})
    )
