"""Users, items and categories in the embedded store: node tables that grow a column at need."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from firstedge.graph.cypher import node_names
from firstedge.graph.errors import DataError
from firstedge.graph.ladybug_index import Hashes, HashIndex, hashes_of
from firstedge.graph.ladybug_link import FEW, ROW, Session
from firstedge.graph.schema import Schema
from firstedge.graph.store import Written
from firstedge.graph.tables import check_tree

_ADD = {
    pa.bool_(): "add_bool",
    pa.int64(): "add_int64",
    pa.float64(): "add_double",
    pa.string(): "add_string",
    pa.list_(pa.string()): "add_list",
}
Rows = npt.NDArray[np.int64]


def find_rows(session: Session, label: str, key: str, ids: pa.Array | pa.ChunkedArray) -> Rows:
    """The store's own numbers of nodes, int64[n]; -1 where there is none.

    Args:
        session: Where to look.
        label: The nodes' label.
        key: The property that holds their ids.
        ids: The ids, strings.
    """
    codes, distinct = encoded(ids)
    rows = np.full(len(distinct), -1, np.int64)
    if label in session.tables and len(distinct):
        given = pa.table({"position": np.arange(len(distinct)), "id": distinct})
        if len(distinct) <= FEW:
            return _indexed_rows(session, {"label": label, "key": key}, given)[codes]
        found = session.run("find_nodes", {"label": label, "key": key}, {"rows": given})
        rows[found["position"].to_numpy()] = found["row"].to_numpy()
    return rows[codes]


def _indexed_rows(session: Session, names: dict[str, str], given: pa.Table) -> Rows:
    """The rows of a few ids: by their hashes, and then held against the ids that stand there."""
    index = node_index(session, names)
    positions, rows = index.find(_hashes(session, given["id"]))
    candidates = pa.table({"position": np.arange(len(rows)), "row": rows})
    found = session.run("find_ids", names, {"rows": candidates})
    at = found["position"].to_numpy()
    same = pc.equal(found["id"], given["id"].take(pa.array(positions[at]))).to_numpy()
    result = np.full(given.num_rows, -1, np.int64)
    result[positions[at[same]]] = rows[at[same]]
    return result


def node_index(session: Session, names: dict[str, str]) -> HashIndex:
    """The index of a label, made if there is none."""
    label = names["label"]
    if label not in session.index.nodes:
        found = session.run("hash_nodes", names)
        index = HashIndex(hashes_of(found["hash"]), found["row"].to_numpy())
        session.index.nodes[label] = index
    return session.index.nodes[label]


def _hashes(session: Session, ids: pa.ChunkedArray) -> Hashes:
    given = pa.table({"position": np.arange(len(ids)), "key": ids})
    return hashes_of(session.run("hash_keys", values={"rows": given}).sort_by("position")["hash"])


def encoded(ids: pa.Array | pa.ChunkedArray) -> tuple[Rows, pa.Array]:
    """Strings as codes int64[n] and the distinct strings that these stand for."""
    column = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    found = column.dictionary_encode()
    return found.indices.to_numpy(zero_copy_only=False).astype(np.int64), found.dictionary


def node_columns(session: Session, label: str) -> dict[str, pa.DataType]:
    """Properties of a label and their types, without our own."""
    listed = session.run("list_columns", {"label": label}).schema
    columns = {field.name.removeprefix("n."): _plain(field.type) for field in listed}
    columns.pop(ROW, None)
    return columns


def _plain(given: pa.DataType) -> pa.DataType:
    return pa.list_(pa.string()) if pa.types.is_list(given) else given


def write_nodes(session: Session, label: str, key: str, rows: pa.Table, few: int = FEW) -> Written:
    """Write nodes: the column ``id`` is their key, the others are properties.

    Args:
        session: Where to.
        label: Their label.
        key: The property that is their key.
        rows: The nodes.
        few: The number of new nodes up to which none is copied; see `Session`.

    Raises:
        DataError: If a property is of another type than it has in the store.
    """
    if not rows.num_rows:
        return Written()
    nodes = _last_values(rows)
    if key != "id" and key in nodes.column_names:
        raise DataError(f"{key!r} is the key of :{label} and cannot be a property too")
    nodes = nodes.rename_columns([key, *nodes.column_names[1:]])
    session.create(label, "create_nodes", {"label": label, "key": key})
    nodes = _fit_columns(session, label, nodes)
    at = find_rows(session, label, key, nodes[key])
    new = nodes.filter(pa.array(at < 0))
    if 0 < new.num_rows <= few:
        inserted = pa.table({"id": new[key]})
        session.run("insert_nodes", {"label": label, "key": key}, {"rows": inserted})
        _index_inserted(session, {"label": label, "key": key}, new[key])
        at = find_rows(session, label, key, nodes[key])
    _update(session, label, nodes.drop_columns(key).filter(pa.array(at >= 0)), at[at >= 0])
    if new.num_rows > few:
        columns = node_columns(session, label)
        whole = [_column(new, name, type_) for name, type_ in columns.items()]
        session.copy(label, pa.table(whole, list(columns)))
    return Written(new=new.num_rows, known=rows.num_rows - new.num_rows)


def _index_inserted(session: Session, names: dict[str, str], ids: pa.ChunkedArray) -> None:
    """Add nodes to the index, if there is one: their rows are the last ones."""
    index = session.index.nodes.get(names["label"])
    if index is None:
        return
    last = session.run("last_row", names)["row"][0].as_py()
    rows = pa.table({"position": np.arange(len(ids)), "row": last - np.arange(len(ids))})
    found = session.run("find_ids", names, {"rows": rows})
    if found.num_rows == len(ids):
        at = last - found["position"].to_numpy()
        index.add(_hashes(session, found["id"]), at)
    else:
        session.index.forget(names["label"])


def _column(table: pa.Table, name: str, type_: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return table[name] if name in table.column_names else pa.nulls(table.num_rows, type_)


def _last_values(rows: pa.Table) -> pa.Table:
    """One row an id, with the last value of each column that is not null."""
    codes, distinct = encoded(rows["id"])
    if len(distinct) == rows.num_rows:
        return rows
    columns = {"id": distinct}
    for name in rows.column_names[1:]:
        given = np.flatnonzero(rows[name].is_valid().to_numpy())
        last = np.full(len(distinct), -1, np.int64)
        np.maximum.at(last, codes[given], given)
        columns[name] = rows[name].take(pa.array(last, mask=last < 0))
    return pa.table(columns)


def _fit_columns(session: Session, label: str, nodes: pa.Table) -> pa.Table:
    """Add the columns that are missing to the table, and cast the rows to those that are there."""
    stored = node_columns(session, label)
    same_name = {name.lower(): name for name in stored}
    for name in nodes.column_names:
        column = nodes[name]
        if name in stored:
            cast = _cast(label, name, column, stored[name])
            nodes = nodes.set_column(nodes.column_names.index(name), name, cast)
        elif column.null_count == len(column):
            nodes = nodes.drop_columns(name)
        elif name.lower() in same_name:
            raise DataError(
                f"property {name!r} of :{label} differs from {same_name[name.lower()]!r} only in"
                " case, which the embedded store cannot tell apart: rename one"
            )
        else:
            session.run(_ADD[column.type], {"label": label, "property": name})
            same_name[name.lower()] = name
    return nodes


def _cast(label: str, name: str, column: pa.ChunkedArray, stored: pa.DataType) -> pa.ChunkedArray:
    numbers = pa.types.is_integer, pa.types.is_floating
    both = all(any(is_(type_) for is_ in numbers) for type_ in (column.type, stored))
    if column.type == stored or both or column.null_count == len(column):
        try:
            return column.cast(stored)
        except pa.ArrowInvalid:
            pass
    raise DataError(
        f"property {name!r} of :{label} is {stored} in the store, and {column.type} is given:"
        " give one type in all files"
    )


def _update(session: Session, label: str, properties: pa.Table, at: Rows) -> None:
    """Set the properties of known nodes as far as they are given and differ."""
    for name in properties.column_names:
        given = properties[name].is_valid()
        if pc.any(given).as_py():
            rows = pa.table({"row": at, "value": properties[name]}).filter(given)
            session.run("set_property", {"label": label, "property": name}, {"rows": rows})


def read_nodes(
    session: Session,
    label: str,
    key: str,
    fields: tuple[str, ...],
    ids: Sequence[str] | None = None,
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """The key as ``id`` and the fields of all nodes of a label, or of some, sorted by id."""
    if label not in session.tables:
        return {name: pa.nulls(0, pa.string()) for name in ("id", *fields)}
    if ids is None:
        found = session.run("read_nodes", {"label": label})
    else:
        rows = rows_there(session, label, key, ids)
        found = session.run("read_nodes_at", {"label": label}, {"rows": rows})
    found = found.sort_by(f"n.{key}")
    columns = {"id": found[f"n.{key}"]}
    for name in fields:
        there = f"n.{name}" in found.column_names
        columns[name] = found[f"n.{name}"] if there else pa.nulls(found.num_rows, pa.string())
    return columns


def rows_there(session: Session, label: str, key: str, ids: Sequence[str]) -> pa.Table:
    """The rows of those of the ids that there are, once each."""
    rows = np.unique(find_rows(session, label, key, pa.array(ids, pa.string())))
    return pa.table({"row": rows[rows >= 0]})


def write_categories(session: Session, schema: Schema, rows: pa.Table) -> Written:
    """Write categories, then hang each below its parent.

    Raises:
        DataError: If a category would be above itself.
    """
    names = node_names(schema)
    label, key = schema.category.label, schema.category.key
    plain = pa.table(
        [rows["id"], rows["name"], rows["derived"]], ["id", names["category_name"], "derived"]
    )
    written = write_nodes(session, label, key, plain, few=plain.num_rows)
    below = rows.filter(rows["parent"].is_valid())
    if not below.num_rows:
        return written
    at = np.flatnonzero(rows["parent"].is_valid().to_numpy())
    exists = find_rows(session, label, key, below["parent"]) >= 0
    hung = below.filter(pa.array(exists))
    # Of a category that comes twice, the last parent holds, as in two calls.
    given = dict(zip(hung["id"].to_pylist(), hung["parent"].to_pylist(), strict=True))
    _hang(session, schema, given)
    return Written(written.new, written.known, at[~exists])


def _hang(session: Session, schema: Schema, given: dict[str, str]) -> None:
    """Give categories, which are all there, their parents."""
    names, label, key = node_names(schema), schema.category.label, schema.category.key
    session.create(schema.category.parent, "create_parents", names)
    stored = read_parents(session, schema)
    moved = {child: parent for child, parent in given.items() if stored.get(child) != parent}
    if not moved:
        return
    check_tree((stored | moved).items())
    children = find_rows(session, label, key, pa.array(list(moved), pa.string()))
    parents = find_rows(session, label, key, pa.array(list(moved.values()), pa.string()))
    session.run("drop_parents", names, {"rows": pa.table({"row": children})})
    edges = pa.table({"source": children, "target": parents})
    session.run("insert_parents", names, {"rows": edges})


def read_parents(session: Session, schema: Schema) -> dict[str, str]:
    """Parents of the categories that have one."""
    if schema.category.parent not in session.tables:
        return {}
    found = session.run("read_parents", node_names(schema)).to_pydict()
    return dict(zip(found["child"], found["parent"], strict=True))


def write_members(session: Session, schema: Schema, rows: pa.Table) -> Written:
    """Tie items to categories."""
    names, member = node_names(schema), schema.category.member
    items = find_rows(session, schema.item.label, schema.item.key, rows["item"])
    categories = find_rows(session, schema.category.label, schema.category.key, rows["category"])
    exists = (items >= 0) & (categories >= 0)
    orphans, number = np.flatnonzero(~exists), int(exists.sum())
    if not number:
        return Written(orphans=orphans)
    session.create(member, "create_members", names)
    pairs = np.unique(np.stack([items[exists], categories[exists]]), axis=1)
    positions = np.arange(pairs.shape[1])
    given = pa.table({"position": positions, "source": pairs[0], "target": pairs[1]})
    found = session.run("find_members", names, {"rows": given})["position"].to_numpy()
    new = np.setdiff1d(positions, found)
    if len(new):
        edges = given.take(pa.array(new)).drop_columns("position")
        session.copy(member, edges)
    return Written(len(new), number - len(new), orphans)
