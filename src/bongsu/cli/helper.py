"""`render --helper`: a page for each VPN connection, to the terminal or into a directory."""

from pathlib import Path

from bongsu.cli.output import EXIT_USAGE, fail, line, print_json, text
from bongsu.cli.source import Source


def write_pages(
    source: Source, file: Path, node: str | None, output: Path | None, *, as_json: bool
) -> None:
    """Markdown on standard output, or both forms of each page in the directory."""
    from bongsu.render.helper import render

    network = source.loaded.network
    vpns = [name for name, vpn in network.vpns.items() if node in (None, vpn.site)]
    if not vpns:
        where = f"{file} has" if node is None else f"{node} is the site of"
        fail(f"{where} no VPN, so there is no page", "`vpns:` is where they are", EXIT_USAGE)
    pages = {
        name: page
        for name, page in render(network, source.plans, str(file)).items()
        if name.rsplit(".", 1)[0] in vpns
    }
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name, page in pages.items():
            (output / name).write_text(page, "utf-8")
            line(str(output / name))
    elif as_json:
        print_json(pages)
    else:
        text("\n".join(page for name, page in pages.items() if name.endswith(".md")))
