"""The tower as a process: two listeners, one thread that keeps, a patrol, and an orderly end."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TextIO

from cryptography.hazmat.primitives.serialization import Encoding

from bongsu.system import grpc, pki, tls
from bongsu.system.clock import Clock
from bongsu.tower.authority import Authority
from bongsu.tower.files import Layout, Settings
from bongsu.tower.ingest import Ingest
from bongsu.tower.service import EnrolmentService, NodeService
from bongsu.tower.store.base import StoreError
from bongsu.tower.store.disk import DiskStore
from bongsu.wire.bounds import WINDOW_BYTES
from bongsu.wire.messages import Event

NODES = 4096
"""Connections at once; each holds a window at most."""
NEWCOMERS = 64
NEWCOMER_WINDOW = 64 * 1024
"""The least that HTTP/2 allows."""
NEWCOMER_S = 30.0
"""An enrolment takes a second; who stays longer only takes a place."""
PATROL_S = 1.0
"""How long a node that was removed is still listened to."""

IDENTITY_S = 3600.0
"""How often the tower looks whether its own certificate is to be renewed."""


class Tower:
    """One run of the tower in its directory."""

    def __init__(self, directory: Path, clock: Clock, log: TextIO | None = None) -> None:
        """Raises TowerError, StoreError."""
        self._layout = Layout(directory)
        self.settings: Settings = self._layout.need()
        self._lock = self._layout.hold()
        self._clock = clock
        self._log = log
        self.store = DiskStore(self._layout, self.settings)
        self._authority = Authority(self._layout, self.settings, self.store)
        self._ingest = Ingest(self.store, clock, self._failed)
        self._nodes = NodeService(self.store, self._authority, self._ingest, clock, self.tell)
        self._newcomers = EnrolmentService(self._authority, clock, self.tell)
        # A thousand nodes that come back at once are as many events: the loop waits for no disk.
        self._events = ThreadPoolExecutor(1, "events")
        self._stopping = asyncio.Event()
        self._failing = ""
        self.node_port = self.enrolment_port = 0
        """What is listened on, once it is."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until `stop`. `ready` is called when both ports are open."""
        # The library logs what peers do wrong with a trace back; that is told here in one line.
        logging.getLogger("grpclib").addHandler(logging.NullHandler())
        logging.getLogger("grpclib").propagate = False
        self._authority.tower_identity(self._clock.utc())
        root = pki.parse(self._authority.certificate).public_bytes(Encoding.PEM).decode()
        for_nodes = tls.tower_context(self._layout.identity, root)
        for_newcomers = tls.tower_context(self._layout.identity, None)
        nodes = grpc.Listener(self._nodes.methods(), NODES, WINDOW_BYTES)
        newcomers = grpc.Listener(self._newcomers.methods(), NEWCOMERS, NEWCOMER_WINDOW, NEWCOMER_S)
        host = self.settings.listen or None
        try:
            self.node_port = await nodes.listen(host, self.settings.node_port, for_nodes)
            self.enrolment_port = await newcomers.listen(
                host, self.settings.enrolment_port, for_newcomers
            )
            self.tell(Event("info", "tower", "", "started", 0, 0, {"pid": os.getpid()}))
            ready()
            look_at = self._clock.now() + IDENTITY_S
            while not self._stopping.is_set():
                await self._clock.wait(self._stopping, self._clock.now() + PATROL_S)
                await self._nodes.patrol()
                if self._clock.now() >= look_at:
                    look_at = self._clock.now() + IDENTITY_S
                    if self._authority.tower_identity(self._clock.utc()):
                        for context in (for_nodes, for_newcomers):
                            context.load_cert_chain(self._layout.identity)
        finally:
            for listener in (nodes, newcomers):
                listener.stop()
            await asyncio.to_thread(self._ingest.close)
            self.tell(Event("info", "tower", "", "stopped", 0, 0, {}))
            await asyncio.to_thread(self._events.shutdown)
            self.store.close()
            os.close(self._lock)

    def stop(self) -> None:
        """End in good order."""
        self._stopping.set()

    def tell(self, event: Event) -> None:
        """An event of the tower's own: into the log, and beside the nodes'."""
        now = self._clock.utc()
        if self._log is not None:
            fields = {"timestamp": now.isoformat(timespec="microseconds"), **asdict(event)}
            fields |= fields.pop("details")
            del fields["number"], fields["monotonic_ns"]
            self._log.write(json.dumps(fields, default=str) + "\n")
            self._log.flush()
        # A stream that ends after the tower has is in the log alone.
        with contextlib.suppress(RuntimeError):
            self._events.submit(self._keep_event, event, now)

    def _keep_event(self, event: Event, now: datetime) -> None:
        try:
            self.store.tell(event, now)
        except StoreError as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if self._log is not None and text != self._failing:
            self._failing = text
            self._log.write(json.dumps({"level": "error", "kind": "store", "cause": text}) + "\n")
            self._log.flush()
