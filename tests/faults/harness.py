"""Faults at random moments of a scenario, and a look at the database after each of them."""

from __future__ import annotations

import math
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.conftest import ROOT, wipe
from tests.faults.client import READY
from tests.faults.proxy import Wire
from tests.faults.scenarios import Scenario

Fault = Literal["server kill", "client kill", "cut"]
FAULTS: tuple[Fault, ...] = ("server kill", "client kill", "cut")

# Seconds: a client that gives up at once, and one that waits until the server is back.
PATIENCE = (0.5, 600.0)
UNAVAILABLE = 1


@dataclass
class Harness:
    """One scenario on one server.

    Attributes:
        scenario: What is done.
        server: A running Neo4jServer, whose database is wiped between two runs of the scenario.
        folder: For the scenario's files.
        rng: Decides when a fault happens, and how patient the client is.
        note: Takes each fault whose outcome was looked at and found right.
        usual: Seconds of the fastest run without a fault.
    """

    scenario: Scenario
    server: Any
    folder: Path
    rng: random.Random
    note: Callable[[Fault], None] = field(default=lambda fault: None)
    usual: float = math.inf

    def run(self, faults: list[Fault]) -> Counter[str]:
        """Cause all of these faults, each in the middle of the work, then let the work finish.

        Returns:
            How often each fault happened, and how often the scenario was finished ("finished").
        """
        tally: Counter[str] = Counter()
        with Wire(int(self.server.url.rpartition(":")[2])) as wire:
            self._prepare()
            assert self._work(wire, None, PATIENCE[0]), "the work fails without a fault"
            tally["finished"] += 1
            self._prepare()
            waiting, finished = list(faults), True
            while waiting:
                patience = self.rng.choice(PATIENCE)
                moment = self.rng.uniform(0, self.usual)
                hit, finished = self._attempt(wire, waiting[-1], moment, patience)
                if hit:
                    tally[waiting[-1]] += 1
                    self.note(waiting.pop())
                tally["finished"] += finished
                if finished and waiting:
                    self._prepare()
            if not finished:
                assert self._work(wire, None, PATIENCE[1]), "the work cannot go on after the faults"
                tally["finished"] += 1
        return tally

    def _prepare(self) -> None:
        wipe(self.server.url, self.server.password)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.scenario.prepare(self.server.url, self.folder)

    def _work(self, wire: Wire, fault: Fault | None, patience: float) -> bool:
        return self._attempt(wire, fault, 0.0, patience)[1]

    def _attempt(
        self, wire: Wire, fault: Fault | None, moment: float, patience: float
    ) -> tuple[bool, bool]:
        """Start the work, and cause a fault (None: nothing) some seconds after it began.

        Returns:
            Whether the fault hit it at work, and whether the work is finished.
        """
        with self._start(wire, patience) as client:
            return self._watch(client, wire, fault, moment)

    def _watch(
        self, client: subprocess.Popen[str], wire: Wire, fault: Fault | None, moment: float
    ) -> tuple[bool, bool]:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(client.stdout))  # type: ignore[arg-type]
        assert client.stdout is not None
        assert client.stdout.readline().strip() == READY
        reader.start()
        began, hit = time.monotonic(), False
        if fault is not None:
            try:
                client.wait(moment)
            except subprocess.TimeoutExpired:
                hit = self._cause(fault, client, wire)
        client.wait(PATIENCE[-1])
        if not hit:
            self.usual = min(self.usual, time.monotonic() - began)
        reader.join()
        errors = client.stderr.read() if client.stderr else ""
        finished = client.returncode == 0
        fine = {0, UNAVAILABLE, -signal.SIGKILL} if hit else {0}
        said = f"{self.scenario.name} ended with {client.returncode}: {errors[-2000:]}"
        assert client.returncode in fine, said
        self.scenario.check(self.server.url, self.folder, "".join(lines), finished)
        return hit, finished

    def _start(self, wire: Wire, patience: float) -> subprocess.Popen[str]:
        url = f"bolt://127.0.0.1:{wire.port}"
        work = [self.scenario.name, url, str(self.folder), str(patience)]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.client", *work],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _cause(self, fault: Fault, client: subprocess.Popen[str], wire: Wire) -> bool:
        """Cause a fault, and say whether there was anything for it to hit."""
        if fault == "cut":
            return wire.cut() > 0
        if fault == "client kill":
            client.kill()
        else:
            self.server.kill()
            self.server.start()
        return True
