"""What an import did, for programs and for people."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class FileReport:
    """What the import of one file did.

    Attributes:
        name: Of the import.
        path: Of the file, or what else the rows came from.
        rows: Rows read, rejected ones included.
        rejected: Rejected rows by reason.
        duplicates: Events that the store had already, or that the file holds more than once.
        new: What the store gained, by table and, of events, by kind.
        seconds: Time taken, that of runs that were cut off included.
        skipped: Whether the file had been imported before, so that nothing was to do; the
            figures are then those of that time.
        resumed: Rows that earlier, cut-off runs had finished.
        rejects: The file of rejected rows, if one is kept.
    """

    name: str
    path: str
    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    new: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: bool = False
    resumed: int = 0
    rejects: str | None = None

    @property
    def rejections(self) -> int:
        """Rejected rows of all reasons."""
        return sum(self.rejected.values())

    @property
    def new_events(self) -> int:
        """Events of all kinds that the store gained."""
        return sum(count for name, count in self.new.items() if name.startswith("events."))


@dataclass(frozen=True)
class ImportReport:
    """What an import did, file by file in the order in which they were read."""

    files: tuple[FileReport, ...]

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected rows of all files by reason."""
        total: Counter[str] = Counter()
        for file in self.files:
            total.update(file.rejected)
        return dict(total)

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "files": [asdict(file) for file in self.files],
            "rows": sum(file.rows for file in self.files),
            "rejected": self.rejected,
            "duplicates": sum(file.duplicates for file in self.files),
            "new_events": sum(file.new_events for file in self.files),
            "seconds": sum(file.seconds for file in self.files),
        }


def render_report(report: ImportReport) -> Table:
    """The report as a table for a terminal."""
    table = Table("import", "", "rows", title="Import", title_justify="left")
    table.columns[2].justify = "right"
    for file in report.files:
        table.add_row(f"[bold]{file.name}[/bold]", _state(file), f"{file.rows:,}")
        for name, count in file.new.items():
            if count:
                table.add_row("", f"new {_plain(name)}", f"{count:,}")
        if file.duplicates:
            table.add_row("", "duplicate events", f"{file.duplicates:,}")
        for reason, count in sorted(file.rejected.items(), key=lambda found: -found[1]):
            table.add_row("", f"[yellow]rejected: {_plain(reason)}[/yellow]", f"{count:,}")
        if file.rejects and file.rejected:
            table.add_row("", f"see {_plain(file.rejects)}", "")
        table.add_section()
    return table


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _state(file: FileReport) -> str:
    if file.skipped:
        return "imported before, skipped"
    rate = f"read in {file.seconds:.1f} s"
    return f"{rate}, resumed at row {file.resumed:,}" if file.resumed else rate
