"""Real-time priority reaches every thread of BIRD: BFD's is not the first one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bongsu.system.daemons.bird import FIFO_PRIORITY, Bird

pytestmark = pytest.mark.root

TWO_THREADS = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", TWO_THREADS], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
        child.kill()


def test_every_thread_becomes_real_time(process: subprocess.Popen[str]) -> None:
    threads = [int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()]
    assert len(threads) == 2
    assert Bird().prioritise(process.pid) == f"SCHED_FIFO {FIFO_PRIORITY}"
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_FIFO}


def test_a_process_that_is_gone_has_no_priority(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert Bird().prioritise(process.pid) == "normal"
