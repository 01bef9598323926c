"""`bongsu import`: what a cloud lets one download -> YAML on standard output, keys into files.

A key is written to a file that only its owner can read, and never shown. Nothing is written before the
whole was read, put together and found to be a network.
"""

import os
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from bongsu.checks import run_checks
from bongsu.cli.output import EXIT_FINDINGS, EXIT_USAGE, err, fail, sentence, text
from bongsu.cli.source import Source, UnreadableError, read, show_findings, show_problems
from bongsu.intent import IntentError, load_text
from bongsu.intent.imports import FORMATS, Secret
from bongsu.intent.imports import read as read_download
from bongsu.intent.imports.network import Parts, Wishes, network_parts
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
    inside: Annotated[
        list[str] | None, typer.Option(help="Our inside address, one a tunnel, if not in the file.")
    ] = None,
    asn: Annotated[
        int | None, typer.Option(help="Our AS number, if not in the file: with it there is BGP.")
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
    own = [address] if address else None
    wishes = Wishes(
        site=site,
        name=name,
        cloud=cloud,
        cloud_networks=tuple(_each("--cloud-network", cloud_network, ip_network)),
        site_networks=tuple(_each("--site-network", site_network, ip_network)),
        address=next(iter(_each("--address", own, ip_interface, "10.0.0.5/24")), None),
        interface=interface,
        public=_address("--public", public),
        gateway=_address("--gateway", gateway),
        asn=asn,
        inside=tuple(_each("--inside", inside, ip_interface, "169.254.10.2/30")),
        secrets=str(secrets.absolute()),
        strongest=strongest,
    )
    try:
        parts = network_parts(read_download(texts, kind), wishes, existing)
    except IntentError as error:
        show_problems(error, files[0], to=err)
        raise typer.Exit(EXIT_FINDINGS) from None
    whole = parts.document if existing is None else {**existing, **parts.document}
    if "lab" in whole:
        # What a lab needs of a new cloud, its host and its place in the Internet, no download says.
        whole = {key: value for key, value in whole.items() if key not in ("lab", "tests")}
        parts.notes.append(
            f"{into} has a lab: a new cloud is plugged in there by hand (lab.clouds)"
        )
    source = _judged(whole, "(imported)" if into is None else str(into))
    _write_secrets(parts)
    text(_yaml(parts.document))
    for note in parts.notes:
        sentence(f"note: {note}", to=err)
    show_findings(source, source.findings, to=err)
    if source.errors:
        raise typer.Exit(EXIT_FINDINGS)


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


def _write_secrets(parts: Parts) -> None:
    for path, secret in parts.secrets.items():
        target = Path(path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.exists() and target.read_text("utf-8").strip() == secret.value:
            target.chmod(0o600)
            continue
        _write(target, secret)
        sentence(f"{path}: a pre-shared key, for its owner only", to=err)


def _write(target: Path, secret: Secret) -> None:
    # Never with a mode that others could read, not even for a moment; never over what is there.
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(
            f"{target} is there and holds another key, so it was left alone",
            "take it away, or give the connection another --name",
        )
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(secret.value + "\n")


def _address(option: str, value: str | None) -> Address | None:
    try:
        return None if value is None else ip_address(value)
    except ValueError:
        fail(f"{option} {value}: no address", "such as 192.0.2.1", EXIT_USAGE)


def _each(
    option: str, values: list[str] | None, parse: Any, example: str = "10.0.0.0/16"
) -> list[Any]:
    found = []
    for value in values or []:
        try:
            if "/" not in value:
                raise ValueError
            found.append(parse(value))
        except ValueError:
            fail(f"{option} {value}: no address with its length", f"such as {example}", EXIT_USAGE)
    return found
