"""Runs a script in Debian's own kernel: QEMU without KVM, on this machine's files, read-only.

`resume(script, files, timeout_s)` is all that tests need. The first call on a machine boots the
kernel once and keeps its state in a cache (ten seconds or so); later calls start from there in two
or three. What it runs on is emulated: for function, never for timing.
"""

from tests.vm.harness.errors import VmError
from tests.vm.harness.guest import Result, resume

__all__ = ["Result", "VmError", "resume"]
