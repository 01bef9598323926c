"""`bongsu import`: what a cloud lets one download -> YAML on standard output, keys into files.

A key is written to a file that only its owner can read, and never shown; and none is before the whole
was read, put together, and found to be a network without an error.
"""

import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bongsu.checks import run_checks
from bongsu.cli import import_questions
from bongsu.cli.import_questions import ask_all, tell_rest
from bongsu.cli.key_files import keys_written
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, err, fail, sentence, text
from bongsu.cli.source import Source, UnreadableError, read, show_findings, show_problems
from bongsu.intent import IntentError, load_text
from bongsu.intent.imports import FORMATS
from bongsu.intent.imports import read as read_download
from bongsu.intent.imports.accelerated import Way
from bongsu.intent.imports.network import network_parts
from bongsu.intent.imports.wishes import Wishes
from bongsu.model.base import Address
from bongsu.plan.compile import compile_network


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="What the cloud gave, in one file or several; - for standard input.",
        ),
    ],
    kind: Annotated[
        str | None, typer.Option("--as", help="Format: " + ", ".join(FORMATS) + ". Else guessed.")
    ] = None,
    site: Annotated[str, typer.Option(help="Node that is the gateway.")] = "cpe",
    into: Annotated[
        Path | None,
        typer.Option(
            help="Network file that has the node: print its clouds and vpns with this one."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the connection.")] = None,
    cloud: Annotated[str | None, typer.Option(help="Name of the cloud, new or there.")] = None,
    cloud_network: Annotated[
        list[str] | None, typer.Option(help="Network behind the cloud's gateway, each.")
    ] = None,
    site_network: Annotated[
        list[str] | None, typer.Option(help="Network of the site, each.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="The gateway's own address, with its length.")
    ] = None,
    public: Annotated[
        str | None, typer.Option(help="What the Internet sees of it, behind a 1:1 NAT.")
    ] = None,
    interface: Annotated[str, typer.Option(help="The gateway's uplink.")] = "eth0",
    gateway: Annotated[
        str | None, typer.Option(help="The provider's router on the uplink.")
    ] = None,
    lan: Annotated[
        str | None,
        typer.Option(
            metavar="[INTERFACE=]ADDRESS",
            help="The gateway's address in the LAN behind it, with its length; on eth1 unless named.",
        ),
    ] = None,
    inside: Annotated[
        list[str] | None, typer.Option(help="Our inside address, one a tunnel, if not in the file.")
    ] = None,
    asn: Annotated[
        int | None, typer.Option(help="Our AS number, if not in the file: with it there is BGP.")
    ] = None,
    accelerator: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[/REGION]",
            help="Accelerator of --into's file that stands between, one a tunnel, in their order.",
        ),
    ] = None,
    strongest: Annotated[
        bool,
        typer.Option(
            "--strongest", help="Propose the strongest that the cloud takes, not the file's."
        ),
    ] = False,
    secrets: Annotated[Path, typer.Option(help="Directory for the keys' files, mode 0600.")] = Path(
        "secrets"
    ),
) -> None:
    """Turn what a cloud lets you download of a VPN into a network file.

    Formats: AWS "Generic" and "Cisco IOS", and Oracle's CPE helper for Libreswan.
    """
    if kind is not None and kind not in FORMATS:
        fail(f"no format is called {kind}", "formats: " + ", ".join(FORMATS), EXIT_USAGE)
    try:
        texts = {str(file): read(file) for file in files}
        existing = None if into is None else _existing(into, site)
    except UnreadableError as error:
        fail(str(error), code=EXIT_USAGE)
    lans = _each("--lan", [lan] if lan else None, import_questions.lan, "eth1=10.0.0.1/24")
    lan_name, lan_address = lans[0] if lans else ("", None)
    own = [address] if address else None
    wishes = Wishes(
        site=site,
        name=name,
        cloud=cloud,
        cloud_networks=tuple(_each("--cloud-network", cloud_network, import_questions.network)),
        site_networks=tuple(_each("--site-network", site_network, import_questions.network)),
        address=next(
            iter(_each("--address", own, import_questions.interface, "10.0.0.5/24")), None
        ),
        interface=interface,
        public=_address("--public", public),
        gateway=_address("--gateway", gateway),
        lan=lan_address,
        lan_interface=lan_name or ("eth0" if interface == "eth1" else "eth1"),
        asn=asn,
        inside=tuple(_each("--inside", inside, import_questions.interface, "169.254.10.2/30")),
        secrets=str(secrets.absolute()),
        accelerators=tuple(
            _each("--accelerator", accelerator, Way.of, "ga-1 or ga-1/shanghai", "no accelerator")
        ),
        strongest=strongest,
    )
    asked = import_questions.somebody_answers() and Path("-") not in files
    try:
        download = read_download(texts, kind)
        if asked:
            wishes = ask_all(download, wishes, existing)
        parts = network_parts(download, wishes, existing)
    except IntentError as error:
        show_problems(error, files[0], to=err)
        raise typer.Exit(EXIT_FINDINGS) from None
    except EOFError:
        fail("the questions were left without an answer, so nothing was written")
    whole = parts.document if existing is None else {**existing, **parts.document}
    if "lab" in whole:
        # What a lab needs of a new cloud, its host and its place in the Internet, no download says.
        whole = {key: value for key, value in whole.items() if key not in ("lab", "tests")}
        parts.notes.append(
            f"{into} has a lab: a new cloud is plugged in there by hand (lab.clouds)"
        )
    source = _judged(whole, "(imported)" if into is None else str(into))
    with keys_written({} if source.errors else parts.secrets):
        text(_yaml(parts.document))
        sys.stdout.flush()
    for note in parts.notes:
        sentence(f"note: {note}", to=err)
    show_findings(source, source.findings, to=err)
    if not asked:
        tell_rest(download, wishes, existing)
    if source.errors:
        fail(
            "the network has errors, so no key was written",
            "import again with what it lacks; what is printed shows what was read",
        )


def _existing(path: Path, site: str) -> dict[str, Any]:
    """The values of a network file that is sound and has the node."""
    whole = read(path)
    try:
        loaded = load_text(whole, str(path))
    except IntentError as error:
        show_problems(error, path, to=err)
        raise typer.Exit(EXIT_FINDINGS) from None
    if site not in loaded.network.nodes:
        known = ", ".join(loaded.network.nodes)
        fail(f"no node {site} in {path}", f"say with --site which it is: {known}", EXIT_USAGE)
    root: dict[str, Any] = loaded.document.root
    return root


def _judged(whole: dict[str, Any], called: str) -> Source:
    """The network as it would be loaded. What is no network is not printed."""
    shown = _yaml(whole)
    try:
        loaded = load_text(shown, called)
    except IntentError as error:
        show_problems(error, Path(called), to=err)
        fail("what was read makes no network, so nothing was written")
    plans = compile_network(loaded.network)
    return Source(shown, loaded, plans, run_checks(loaded.network, plans))


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=140
    )


def _address(option: str, value: str | None) -> Address | None:
    try:
        return None if value is None else ip_address(value)
    except ValueError:
        fail(f"{option} {value}: no address", "such as 192.0.2.1", EXIT_USAGE)


def _each(
    option: str,
    values: list[str] | None,
    read_one: Callable[[str], Any],
    example: str = "10.0.0.0/16",
    wrong: str = "no address with its length",
) -> list[Any]:
    found = []
    for value in values or []:
        try:
            found.append(read_one(value))
        except ValueError:
            fail(f"{option} {value}: {wrong}", f"such as {example}", EXIT_USAGE)
    return found
