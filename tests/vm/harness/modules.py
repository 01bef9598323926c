"""Which modules the guest has before its job starts, with all they depend on.

Only what is common is loaded ahead: the guest has the whole of /lib/modules, and the kernel asks
modprobe for the rest, at a tenth of a second each.
"""

import lzma
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from tests.vm.harness.errors import VmError

DISK = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
LINKS = ("veth", "dummy", "bridge", "vrf", "vxlan", "tun", "ip_gre", "ip6_gre")
IPSEC = ("esp4", "esp6", "xfrm_user", "xfrm_interface", "ip_vti")
CRYPTO = (
    *("cbc", "ctr", "gcm", "ghash_generic", "authenc", "seqiv", "echainiv"),
    *("hmac", "sha256_generic", "sha512_generic", "sha3_generic"),
    # The first ESP state wants random numbers, whose module tests itself for many seconds here.
    *("jitterentropy_rng", "drbg", "ansi_cprng"),
)
# libcrc32c asks the crypto layer for an implementation by name, which modules.dep does not know.
CHECKSUM = ("crc32c_generic", "crc32c_intel")
NFTABLES = (
    "nf_tables",
    "nft_chain_nat",
    "nft_ct",
    "nft_fib_inet",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_nat",
    "nft_reject_inet",
)
QDISCS = ("sch_netem", "sch_tbf", "sch_htb", "sch_ingress", "sch_fq_codel")
FILTERS = ("cls_bpf", "cls_u32", "cls_matchall", "act_bpf", "act_gact", "act_mirred")

WANTED = (*DISK, *CHECKSUM, *LINKS, *NFTABLES, *QDISCS, *FILTERS, *CRYPTO, *IPSEC)

Dependencies = dict[str, list[str]]
"""File of a module, then the files it needs, both relative to the folder of the kernel."""


def name_of(file: str) -> str:
    """The module's name: `kernel/drivers/net/veth.ko.xz` is `veth`, hyphens are underscores."""
    return PurePosixPath(file).name.partition(".")[0].replace("-", "_")


def dependencies(folder: Path) -> Dependencies:
    """modules.dep as depmod wrote it: each line has all that is needed, not the next step only."""
    found = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        file, _, needs = line.partition(":")
        found[file] = needs.split()
    return found


def closure(folder: Path, wanted: Iterable[str] = WANTED) -> Dependencies:
    """The part of modules.dep that the wanted modules need; built-in ones need nothing."""
    everything = dependencies(folder)
    files = {name_of(file): file for file in everything}
    built_in = {name_of(line) for line in (folder / "modules.builtin").read_text().splitlines()}
    found: Dependencies = {}
    unknown = []
    for name in wanted:
        if file := files.get(name):
            for needed in (file, *everything[file]):
                found[needed] = everything[needed]
        elif name not in built_in:
            unknown.append(name)
    if unknown:
        raise VmError(f"{folder} has no module {', '.join(unknown)}")
    return found


def content(folder: Path, file: str) -> bytes:
    """The module itself, unpacked where the distribution packs it."""
    data = (folder / file).read_bytes()
    return lzma.decompress(data) if file.endswith(".xz") else data
