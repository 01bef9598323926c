"""Finds Debian's kernel and takes the ELF image out of the compressed one.

QEMU starts an uncompressed vmlinux through its PVH entry, which spares the decompression on an
emulated processor. Layout of the image: Documentation/arch/x86/boot.rst, the real-mode header.
"""

import gzip
import lzma
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm.harness.errors import VmError

BOOT = Path("/boot")
MODULES = Path("/lib/modules")

SETUP_SECTORS = 0x1F1
MAGIC = 0x202
PAYLOAD = 0x248
SECTOR = 512

DECOMPRESSORS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\xfd7zXZ\0": lambda packed: lzma.LZMADecompressor().decompress(packed),
    b"\x1f\x8b": gzip.decompress,
}


@dataclass(frozen=True)
class Kernel:
    """A kernel image with the modules that belong to it."""

    version: str
    image: Path
    modules: Path


def find(boot: Path = BOOT, modules: Path = MODULES) -> Kernel:
    """The newest kernel of `linux-image-amd64` whose modules are here too."""
    found = []
    for image in boot.glob("vmlinuz-*-amd64"):
        version = image.name.removeprefix("vmlinuz-")
        if (modules / version / "modules.dep").exists():
            order = [int(part) for part in re.findall(r"\d+", version)]
            found.append((order, Kernel(version, image, modules / version)))
    if not found:
        raise VmError(f"no Debian kernel with modules in {boot}: apt-get install linux-image-amd64")
    return max(found, key=lambda entry: entry[0])[1]


def vmlinux(image: Path) -> bytes:
    """The ELF kernel inside a bzImage."""
    packed = image.read_bytes()
    if packed[MAGIC : MAGIC + 4] != b"HdrS":
        raise VmError(f"{image} is not a Linux bzImage")
    offset, length = struct.unpack_from("<II", packed, PAYLOAD)
    start = (packed[SETUP_SECTORS] + 1) * SECTOR + offset
    payload = packed[start : start + length]
    for magic, decompress in DECOMPRESSORS.items():
        if payload.startswith(magic):
            elf = decompress(payload)
            if not elf.startswith(b"\x7fELF"):
                raise VmError(f"the payload of {image} is no ELF file")
            return elf
    raise VmError(f"{image} is compressed in a way this harness does not know: {payload[:6].hex()}")
