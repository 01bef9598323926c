"""Compiles the eBPF objects, the engines in C, the lab's link emulator and the wire's messages.

The results are artifacts of the wheel, never of the repository. An object that is newer than its
sources is left as it is, so that an editable install costs nothing the second time.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BPF = Path("src/bongsu/system/bpf")
LAB = Path("src/bongsu/lab")
SYSTEM = Path("src/bongsu/system")
WIRE = Path("src/bongsu/wire")
ENGINES = {
    "keepalive": ((), "apt-get install gcc libc6-dev linux-libc-dev"),
    # the same arithmetic on every machine: a test compares it with Python's
    "repair": (("-ffp-contract=off", "-lisal"), "apt-get install gcc libc6-dev libisal-dev"),
}
"""Folder, and what its library is compiled with besides."""
CC = ("cc", "-O2", "-Wall", "-Wextra", "-Werror")
SHARED = ("-std=gnu11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-pthread")
# bongsu's floor is kernel 5.12 (atomic exchange in BPF)
CLANG = ("clang", "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3")


class CompileHook(BuildHookInterface[Any]):
    """Runs before hatchling collects files, for wheels and for editable installs alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if self.target_name != "wheel":
            return
        build_data["pure_python"] = False
        # any Python 3, but this machine's programs
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"
        headers = list((root / BPF).glob("*.h"))
        include = ["-I", f"/usr/include/{_multiarch()}"]
        for source in sorted((root / BPF).glob("*.bpf.c")):
            target = source.with_suffix(".o")
            if _fresh(target, [source, *headers]):
                continue
            _compile(
                [*CLANG, *include, "-c", str(source), "-o", str(target)],
                hint="apt-get install clang libbpf-dev linux-libc-dev",
            )
            if strip := shutil.which("llvm-strip"):
                subprocess.run([strip, "-g", str(target)], check=True)
        for source in sorted((root / LAB).glob("*/*.c")):
            target = root / LAB / "bin" / source.stem
            target.parent.mkdir(exist_ok=True)
            if not _fresh(target, [source, *source.parent.glob("*.h")]):
                _compile(
                    [*CC, str(source), "-o", str(target)],
                    hint="apt-get install gcc libc6-dev",
                )
        for name, (flags, hint) in ENGINES.items():
            engine = root / SYSTEM / name / f"lib{name}.so"
            parts = sorted(engine.parent.glob("*.c"))
            if not _fresh(engine, [*parts, *engine.parent.glob("*.h"), *headers]):
                _compile([*CC, *SHARED, *map(str, parts), "-o", str(engine), *flags], hint)
            build_data["artifacts"].append(f"{SYSTEM / name}/*.so")
        messages = root / WIRE / "messages.proto"
        if not _fresh(messages.with_name("messages_pb2.py"), [messages]):
            # protoc names the import after the path: from src, it is bongsu.wire
            source = root / "src"
            protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}"]
            outputs = [f"--python_out={source}", f"--pyi_out={source}"]
            _compile([*protoc, *outputs, str(messages)], hint="pip install grpcio-tools")


def _fresh(target: Path, sources: list[Path]) -> bool:
    if not target.exists():
        return False
    return all(source.stat().st_mtime <= target.stat().st_mtime for source in sources)


def _multiarch() -> str:
    done = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "x86_64-linux-gnu"


def _compile(command: list[str], hint: str) -> None:
    if shutil.which(command[0]) is None:
        raise SystemExit(f"bongsu is built with {command[0]}, which is not here: {hint}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}\nhint: {hint}")
