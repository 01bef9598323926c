"""The few functions of libbpf that bongsu needs, typed, with errors that carry libbpf's own log.

Nothing above ctypes is done here: objects, maps and attachment have modules of their own. The
library is Debian's libbpf1 (ABI version 1, from 1.0 on), which returns errors as negative numbers
and from functions that return pointers through errno.

libbpf's documentation: https://docs.kernel.org/bpf/libbpf/
"""

import ctypes as c
import ctypes.util
import errno
import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

LOG_LINES = 200
"""The end of libbpf's log that an error keeps: the verifier says what is wrong last."""

_T = TypeVar("_T")
_capture = threading.local()


class BpfError(OSError):
    """The kernel or libbpf refused. `log` is what libbpf and the verifier said, maybe empty."""

    def __init__(self, code: int, what: str, log: str = "") -> None:
        super().__init__(code, f"{what}: {os.strerror(code)}")
        self.log = log

    def __str__(self) -> str:
        return f"{self.strerror}\n{self.log}" if self.log else str(self.strerror)


class OpenOpts(c.Structure):
    """struct bpf_object_open_opts, as far as its first two fields."""

    _fields_ = (("sz", c.c_size_t), ("object_name", c.c_char_p))


class TcHook(c.Structure):
    """struct bpf_tc_hook."""

    _fields_ = (
        ("sz", c.c_size_t),
        ("ifindex", c.c_int),
        ("attach_point", c.c_int),
        ("parent", c.c_uint32),
    )


class TcOpts(c.Structure):
    """struct bpf_tc_opts."""

    _fields_ = (
        ("sz", c.c_size_t),
        ("prog_fd", c.c_int),
        ("flags", c.c_uint32),
        ("prog_id", c.c_uint32),
        ("handle", c.c_uint32),
        ("priority", c.c_uint32),
    )


class TestRunOpts(c.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", c.c_size_t),
        ("data_in", c.c_void_p),
        ("data_out", c.c_void_p),
        ("data_size_in", c.c_uint32),
        ("data_size_out", c.c_uint32),
        ("ctx_in", c.c_void_p),
        ("ctx_out", c.c_void_p),
        ("ctx_size_in", c.c_uint32),
        ("ctx_size_out", c.c_uint32),
        ("retval", c.c_uint32),
        ("repeat", c.c_int),
        ("duration", c.c_uint32),
        ("flags", c.c_uint32),
        ("cpu", c.c_uint32),
        ("batch_size", c.c_uint32),
    )


_PRINT = c.CFUNCTYPE(c.c_int, c.c_int, c.c_char_p, c.c_void_p)

_PTR, _INT, _U32, _STR = c.c_void_p, c.c_int, c.c_uint32, c.c_char_p
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "bpf_object__open_mem": (_PTR, [_STR, c.c_size_t, c.POINTER(OpenOpts)]),
    "bpf_object__load": (_INT, [_PTR]),
    "bpf_object__close": (None, [_PTR]),
    "bpf_object__next_map": (_PTR, [_PTR, _PTR]),
    "bpf_object__next_program": (_PTR, [_PTR, _PTR]),
    "bpf_map__name": (_STR, [_PTR]),
    "bpf_map__fd": (_INT, [_PTR]),
    "bpf_map__set_max_entries": (_INT, [_PTR, _U32]),
    "bpf_map__reuse_fd": (_INT, [_PTR, _INT]),
    "bpf_map__set_initial_value": (_INT, [_PTR, _PTR, c.c_size_t]),
    "bpf_program__name": (_STR, [_PTR]),
    "bpf_program__fd": (_INT, [_PTR]),
    "bpf_program__set_autoload": (_INT, [_PTR, c.c_bool]),
    "bpf_map_lookup_elem": (_INT, [_INT, _PTR, _PTR]),
    "bpf_map_update_elem": (_INT, [_INT, _PTR, _PTR, c.c_uint64]),
    "bpf_map_delete_elem": (_INT, [_INT, _PTR]),
    "bpf_map_get_next_key": (_INT, [_INT, _PTR, _PTR]),
    "bpf_map_lookup_batch": (
        _INT,
        [_INT, _PTR, _PTR, _PTR, _PTR, c.POINTER(c.c_uint32), _PTR],
    ),
    "bpf_map_delete_batch": (_INT, [_INT, _PTR, c.POINTER(c.c_uint32), _PTR]),
    "bpf_prog_bind_map": (_INT, [_INT, _INT, _PTR]),
    "bpf_prog_get_fd_by_id": (_INT, [_U32]),
    "bpf_map_get_fd_by_id": (_INT, [_U32]),
    "bpf_obj_get_info_by_fd": (_INT, [_INT, _PTR, c.POINTER(c.c_uint32)]),
    "bpf_prog_test_run_opts": (_INT, [_INT, c.POINTER(TestRunOpts)]),
    "bpf_tc_hook_create": (_INT, [c.POINTER(TcHook)]),
    "bpf_tc_hook_destroy": (_INT, [c.POINTER(TcHook)]),
    "bpf_tc_attach": (_INT, [c.POINTER(TcHook), c.POINTER(TcOpts)]),
    "bpf_tc_detach": (_INT, [c.POINTER(TcHook), c.POINTER(TcOpts)]),
    "bpf_tc_query": (_INT, [c.POINTER(TcHook), c.POINTER(TcOpts)]),
    "bpf_xdp_attach": (_INT, [_INT, _INT, _U32, _PTR]),
    "bpf_xdp_detach": (_INT, [_INT, _U32, _PTR]),
    "libbpf_num_possible_cpus": (_INT, []),
    "libbpf_set_print": (_PTR, [_PRINT]),
}


@cache
def _vsnprintf() -> Callable[..., int]:
    function = c.CDLL(None).vsnprintf
    function.argtypes = [c.c_char_p, c.c_size_t, c.c_char_p, c.c_void_p]
    return function


def _print(level: int, template: bytes, arguments: int) -> int:
    # Called by libbpf in the thread that called it. A va_list is passed by address on x86-64 and
    # arm64 alike, so the address is all that has to be handed on.
    lines: list[str] | None = getattr(_capture, "lines", None)
    if lines is not None and level < 2:  # warnings and news, no debugging
        buffer = c.create_string_buffer(65536)
        _vsnprintf()(buffer, len(buffer), template, arguments)
        lines.append(buffer.value.decode(errors="replace"))
    return 0


_PRINTER = _PRINT(_print)
"""Kept for as long as libbpf may call it."""


@cache
def lib() -> Any:
    """libbpf with its prototypes set.

    Errors: BpfError ENOENT without the library; it is in Debian's package libbpf1.
    """
    try:
        library = c.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise BpfError(errno.ENOENT, "libbpf.so.1 (Debian: apt-get install libbpf1)") from error
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(_PRINTER)
    return library


def call(what: str, name: str, *arguments: Any, allow: tuple[int, ...] = ()) -> int:
    """Calls a function that returns a number, negative for an error.

    `allow` lists errno values that are an answer; they come back negative.
    Errors: BpfError with libbpf's log of this call.
    """
    function = getattr(lib(), name)
    value, log = _logged(lambda: function(*arguments))
    if value < 0 and -value not in allow:
        raise BpfError(-value, what, log)
    return int(value)


def pointer(what: str, name: str, *arguments: Any) -> int:
    """Calls a function that returns a pointer. Errors: BpfError."""
    function = getattr(lib(), name)
    c.set_errno(0)
    value, log = _logged(lambda: function(*arguments))
    if not value:
        raise BpfError(c.get_errno() or errno.EINVAL, what, log)
    return int(value)


def _logged(action: Callable[[], _T]) -> tuple[_T, str]:
    _capture.lines = []
    try:
        value = action()
        lines = "".join(_capture.lines).splitlines()
        return value, "\n".join(lines[-LOG_LINES:])
    finally:
        _capture.lines = None
