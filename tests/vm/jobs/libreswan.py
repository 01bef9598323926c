"""In the guest: Debian's Libreswan, which this machine has only unpacked.

Its package and strongSwan's exclude each other, so scripts/install-debian.sh puts its files into a
folder of their own. The guest's root forgets what is written to it: here they are laid over it.
"""

import shutil
from pathlib import Path

from bongsu.system.run import run

UNPACKED = Path("/var/lib/bongsu/debian/libreswan/root")
PROGRAMS = Path("/usr/libexec/ipsec")
FRONT = Path("/usr/sbin/ipsec")
KEYS = Path("/var/lib/ipsec/nss")
"""Its NSS database: without one it does not start, though it holds no pre-shared key."""


def lay_over() -> None:
    """Have Libreswan where its package would have put it. Does nothing where it is installed.

    Links are enough, and reading six megabytes through 9p is not needed for them.
    """
    if (PROGRAMS / "pluto").exists():
        return
    if not UNPACKED.is_dir():
        raise FileNotFoundError(f"no {UNPACKED}: scripts/install-debian.sh --vm")
    PROGRAMS.symlink_to(UNPACKED / PROGRAMS.relative_to("/"))
    FRONT.symlink_to(UNPACKED / FRONT.relative_to("/"))
    for name in ("ipsec.conf", "ipsec.secrets"):
        shutil.copyfile(UNPACKED / "etc" / name, Path("/etc") / name)
    shutil.copytree(UNPACKED / "etc/ipsec.d", "/etc/ipsec.d", dirs_exist_ok=True)
    # What the package's own script does after unpacking.
    KEYS.mkdir(mode=0o700, parents=True)
    run(["certutil", "-N", "-d", f"sql:{KEYS}", "--empty-password"])
