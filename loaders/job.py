"""The import of one file: chunk by chunk, and after a kill on from where it was.

Each chunk is written, its rejected rows are put on the disk, and then a note in the store says how
far the import is. A run that was killed goes on behind the last note: the chunk in between is
written again, which changes nothing, for nodes go by id and events by key. What an import gained is
the difference of the store's counts, taken before its first chunk. So store, counts and rejected
rows are the same in any chunking and after any number of kills.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from firstedge.graph.store import GraphStore, TableName
from firstedge.loaders.category_tree import CategoryTree, without_cycles
from firstedge.loaders.mapping import ImportMapping
from firstedge.loaders.pieces import PieceWriter
from firstedge.loaders.prepare import DAY_MS, Part, Plan, Sieve, prepare
from firstedge.loaders.readers import Source
from firstedge.loaders.rejects import RejectsFile
from firstedge.loaders.report import FileReport

T = TypeVar("T")
Prepared = tuple[pa.Table, dict[TableName, Part], Sieve]


@dataclass(frozen=True)
class Progress:
    """How far the import of a file is.

    Attributes:
        name: Of the import.
        rows: Rows done.
        done: The part of the file that was read, 0 to 1.
    """

    name: str
    rows: int
    done: float


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        rejects: The folder of the files of rejected rows, ``<import>.csv`` each; None keeps none.
        chunk_rows: Rows written at a time; what is imported does not depend on it.
        progress: Called after every chunk.
        now: The present, with a zone; None is the clock. A time more than a day later is rejected.
    """

    rejects: Path | None = None
    chunk_rows: int = 250_000
    progress: Callable[[Progress], None] | None = None
    now: datetime | None = None

    def __post_init__(self) -> None:
        if self.chunk_rows < 1:
            raise ValueError(f"chunk_rows must be at least 1, got {self.chunk_rows}")
        if self.now is not None and self.now.tzinfo is None:
            raise ValueError("now must name its time zone: datetime.now(UTC)")

    @property
    def latest(self) -> int:
        """The last time that is not the future, ms since 1970 UTC."""
        return int((self.now or datetime.now(UTC)).timestamp() * 1000) + DAY_MS


@dataclass(frozen=True)
class State:
    """How far an import is: the note in the store.

    Attributes:
        before: The store's counts before the first chunk.
        stage: The pass over the file, from 0 on.
        rows: Rows done in this pass.
        rejected: Rejected rows by reason.
        rejects_size: Bytes of the file of rejected rows.
        events: Events that the store took or had, duplicates included.
        new: What the store gained; empty before the end.
        seconds: Time taken.
        finished: Whether nothing is left to do.
    """

    before: dict[str, int]
    stage: int = 0
    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rejects_size: int = 0
    events: int = 0
    new: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False

    def settled(self, counts: Mapping[str, int]) -> bool:
        """Whether importing the same file again cannot change anything.

        A time may no longer be in the future, and what a row refers to may have come.

        Args:
            counts: The store's, now.
        """
        if not self.finished or "future time" in self.rejected:
            return False
        waiting = any(reason.startswith("unknown ") for reason in self.rejected)
        return not waiting or all(
            counts[name] == self.before[name] + self.new[name] for name in ("items", "categories")
        )


@dataclass(frozen=True)
class Job:
    """One file, or table in memory, on its way into a store.

    Attributes:
        store: Where to.
        mapping: What it holds.
        options: Options.
        open_rows: Opens the rows from the first on; called once a pass.
        note: Name of the note that says how far it is; None keeps none.
    """

    store: GraphStore
    mapping: ImportMapping
    options: ImportOptions
    open_rows: Callable[[], AbstractContextManager[Source]]
    note: str | None = None

    @property
    def rejects(self) -> RejectsFile:
        """The file of rejected rows."""
        folder = self.options.rejects
        return RejectsFile(folder / f"{self.mapping.name}.csv" if folder else None)

    @property
    def stages(self) -> int:
        """Passes over the file: a first one for categories, if a parent may follow its child."""
        return 2 if self.mapping.categories and self.mapping.categories.parent else 1

    def run(self) -> FileReport:
        """Import what is left to do."""
        started = time.monotonic()
        state = self._resume()
        if state.finished:
            return replace(self._report(state), skipped=True)
        resumed, seconds = state.rows, state.seconds
        for stage in range(state.stage, self.stages):
            if stage > state.stage:
                state = replace(state, stage=stage, rows=0)
            for after in self._pass(state):
                state = replace(after, seconds=seconds + time.monotonic() - started)
                self._save(state)
        state = self._finish(replace(state, seconds=seconds + time.monotonic() - started))
        return replace(self._report(state), resumed=resumed)

    def _resume(self) -> State:
        """The state of an earlier run as far as it still holds, else a new one."""
        text = self.store.read_note(self.note) if self.note else None
        found = State(**json.loads(text)) if text else None
        counts = self.store.counts()
        unfinished = found is not None and not found.finished
        usable = found is not None and (unfinished or found.settled(counts))
        if found and usable and self.rejects.reaches(found.rejects_size):
            return found
        state = State(found.before if found and unfinished else counts)
        state = replace(state, rejects_size=self.rejects.start())
        self._save(state)
        return state

    def _save(self, state: State) -> None:
        if self.note is not None:
            self.store.write_note(self.note, json.dumps(asdict(state)))

    def _pass(self, state: State) -> Iterator[State]:
        """Go over the rows that are left, and give the state after each chunk."""
        with self.open_rows() as source:
            mapping, writer = self.mapping, PieceWriter(self.store)
            namespace = f"{mapping.name}:" if self.note is not None else ""
            plan = Plan(mapping, self.store.schema, source.types, self.options.latest, namespace)
            last = state.stage == self.stages - 1
            tree = CategoryTree.read(self.store) if last and self.stages > 1 else None
            prepared = _prepare_all(
                cut(source.batches, self.options.chunk_rows, state.rows), plan, state.rows
            )
            for chunk, parts, sieve in ahead(prepared):
                if last:
                    if tree is not None:
                        found = without_cycles(parts["categories"], tree, sieve)
                        parts = {**parts, "categories": found}
                    state = self._write(writer, parts, sieve, chunk, state)
                else:
                    _write_roots(writer, parts["categories"])
                state = replace(state, rows=state.rows + chunk.num_rows)
                yield state
                if self.options.progress is not None:
                    self.options.progress(Progress(mapping.name, state.rows, source.done()))

    def _write(
        self,
        writer: PieceWriter,
        parts: dict[TableName, Part],
        sieve: Sieve,
        chunk: pa.Table,
        state: State,
    ) -> State:
        events = 0
        for name, part in parts.items():
            orphans = writer.write(name, part.table)
            self._reject_orphans(name, part, orphans, sieve)
            if name == "events":
                events = part.table.num_rows - len(orphans)
        return replace(
            state,
            rejected=dict(Counter(state.rejected) + Counter(sieve.counts)),
            rejects_size=self.rejects.append(state.rejects_size, chunk, sieve),
            events=state.events + events,
        )

    def _reject_orphans(
        self, name: TableName, part: Part, orphans: npt.NDArray[np.int64], sieve: Sieve
    ) -> None:
        """Reject the rows that refer to something that the store does not have."""
        if name == "events":
            targets = {
                kind: f"unknown {found.to}" for kind, found in self.store.schema.kind.items()
            }
            kinds = part.table["kind"].take(pa.array(orphans)).to_pylist()
            for reason in dict.fromkeys(targets.values()):
                of_reason = [targets[kind] == reason for kind in kinds]
                sieve.reject(part.rows[orphans[of_reason]], reason)
        elif name == "categories":
            sieve.reject(part.rows[orphans], "unknown parent")
        elif len(orphans):
            sieve.reject(part.rows[orphans], self._lost_end)

    @property
    def _lost_end(self) -> str:
        """What a membership that the store cannot place is missing."""
        columns = self.mapping.item_categories
        if columns is not None and columns.names is not None:
            return "unknown item"
        return "unknown category" if self.mapping.items else "unknown item or category"

    def _finish(self, state: State) -> State:
        after = self.store.counts()
        new = {name: count - state.before.get(name, 0) for name, count in after.items()}
        state = replace(
            state, new=new, rejected=dict(sorted(state.rejected.items())), finished=True
        )
        self._save(state)
        return state

    def _report(self, state: State) -> FileReport:
        path, rejects = self.mapping.path, self.rejects.path
        report = FileReport(
            name=self.mapping.name,
            path=str(path) if path else "",
            rows=state.rows,
            rejected=state.rejected,
            new=state.new,
            seconds=state.seconds,
            rejects=str(rejects) if rejects else None,
        )
        return replace(report, duplicates=max(state.events - report.new_events, 0))


def _write_roots(writer: PieceWriter, part: Part) -> None:
    """Write categories without parents, so that every parent is there in the next pass."""
    at = part.table.column_names.index("parent")
    nulls = pa.nulls(part.table.num_rows, pa.string())
    writer.write("categories", part.table.set_column(at, "parent", nulls))


def _prepare_all(chunks: Iterator[pa.Table], plan: Plan, first: int) -> Iterator[Prepared]:
    for chunk in chunks:
        parts, sieve = prepare(chunk, plan, first)
        yield chunk, parts, sieve
        first += chunk.num_rows


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each of them made in a thread while the one before it is worked on."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def cut(batches: Iterator[pa.RecordBatch], size: int, skip: int) -> Iterator[pa.Table]:
    """Batches as tables of ``size`` rows (the last may have fewer), the first rows left out."""
    held: list[pa.RecordBatch] = []
    room = size
    for batch in batches:
        rest = batch.slice(skip)
        skip -= batch.num_rows - rest.num_rows
        while rest.num_rows >= room:
            held.append(rest.slice(0, room))
            yield pa.Table.from_batches(held).combine_chunks()
            rest = rest.slice(room)
            held, room = [], size
        if rest.num_rows:
            held.append(rest)
            room -= rest.num_rows
    if held:
        yield pa.Table.from_batches(held).combine_chunks()
