"""Builds the guest's first file system: busybox, the modules, and a script that waits for a job.

The archive is cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst), with fixed
times and numbers, so that equal contents give equal bytes: the state's key is made of them.
"""

import shutil
from pathlib import Path

from tests.vm.harness import modules
from tests.vm.harness.errors import VmError
from tests.vm.harness.kernel import Kernel

READY = b"\x05ready\n"
"""The guest is up and waits; a state is saved here, before 9p is mounted (it cannot be saved)."""

FOLDERS = ("bin", "dev", "proc", "sys", "lower", "upper", "new", "lib", "lib/modules")

INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
modprobe -a $(cat /modules) || echo "bongsu: not every module was loaded" > /dev/console
exec 3<>/dev/ttyS1
stty raw -echo <&3
printf '\005ready\n' >&3

# A resumed guest begins here. Its clock and its random numbers are those of the saved moment.
read -r now seed <&3
date -s "@$now" > /dev/null
echo "$seed" > /dev/urandom

share="trans=virtio,version=9p2000.L,msize=512000"
mount -t 9p -o "ro,$share,cache=loose" root /lower
mount -t tmpfs upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work root /new
mount -t tmpfs run /new/run
mkdir -p /new/job
mount -t 9p -o "$share" job /new/job
mount --move /dev /new/dev
mount --move /sys /new/sys
mount --move /proc /new/proc
exec 3>&-
exec switch_root /new /bin/sh /job/.start
"""


def build(kernel: Kernel) -> bytes:
    """The archive for this kernel."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise VmError("busybox is not here: apt-get install busybox-static")
    program = Path(busybox).read_bytes()
    if b"/lib64/ld-linux" in program[:4096]:
        raise VmError(f"{busybox} is not static: apt-get install busybox-static")

    files = {"bin/busybox": program, "init": INIT.encode()}
    needed = modules.closure(kernel.modules)
    home = f"lib/modules/{kernel.version}"
    table = []
    for file, needs in sorted(needed.items()):
        plain = [f"{modules.name_of(name)}.ko" for name in (file, *needs)]
        table.append(f"{plain[0]}: {' '.join(plain[1:])}\n")
        files[f"{home}/{plain[0]}"] = modules.content(kernel.modules, file)
    files[f"{home}/modules.dep"] = "".join(table).encode()
    files["modules"] = " ".join(modules.WANTED).encode()

    archive = [_entry(name, b"", 0o040755) for name in (*FOLDERS, home)]
    archive += [_entry(name, data, 0o100755) for name, data in files.items()]
    archive.append(_entry("TRAILER!!!", b"", 0))
    return b"".join(archive)


def _entry(name: str, data: bytes, mode: int) -> bytes:
    encoded = name.encode() + b"\0"
    links, inode, owner, group, time, device = 1, 0, 0, 0, 0, (0, 0)
    fields = (inode, mode, owner, group, links, time, len(data), *device, *device, len(encoded), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + encoded) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
