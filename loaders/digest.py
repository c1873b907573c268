"""A hash of columns that is the same wherever equal values are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from firstedge.loaders.columns import flat


class Digest:
    """Collects names with their values; `hexdigest` depends on all of them and their order."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return self._hash.hexdigest()

    def add_text(self, name: str, text: str) -> None:
        """Add a text."""
        self._add(name, text.encode("utf-8", "surrogatepass"))

    def add_texts(self, name: str, texts: Iterable[str]) -> None:
        """Add texts, in their order."""
        self.add_column(name, pa.array(texts, pa.string()))

    def add_array(self, name: str, array: npt.NDArray[np.generic]) -> None:
        """Add numbers, with their type and shape."""
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        self._add(f"{name} {little.dtype.str} {array.shape}", np.ascontiguousarray(little).data)

    def add_table(self, name: str, table: pa.Table) -> None:
        """Add a table's rows, in their order; the order of its columns says nothing."""
        for column in sorted(table.column_names):
            self.add_column(f"{name}.{column}", table[column])

    def add_column(self, name: str, column: pa.Array | pa.ChunkedArray) -> None:
        """Add values, however they are chunked and whatever lies under their nulls."""
        array = flat(column)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        valid = array.is_valid()
        self.add_array(f"{name}?", valid.to_numpy(zero_copy_only=False))
        array = array.filter(valid)
        if not len(array):
            return
        if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            self.add_array(f"{name}#", _numbers(pc.list_value_length(array)))
            self.add_column(f"{name}[]", array.flatten())
        elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            self.add_array(f"{name}#", _numbers(pc.binary_length(array)))
            self._add(name, _characters(array.cast(pa.large_string())))
        else:
            self.add_array(name, _numbers(array))

    def _add(self, name: str, data: object) -> None:
        view = memoryview(data).cast("B") if memoryview(data).nbytes else b""  # type: ignore[arg-type]
        self._hash.update(f"{name} {len(view)}\n".encode())
        self._hash.update(view)


def _numbers(array: pa.Array) -> npt.NDArray[np.generic]:
    """Numbers as int64, float64 or bool, so that a narrower type gives the same hash."""
    numbers: npt.NDArray[np.generic] = array.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind in "iu":
        return numbers.astype(np.int64)
    return numbers.astype(np.float64) if numbers.dtype.kind == "f" else numbers


def _characters(texts: pa.LargeStringArray) -> pa.Buffer:
    """The UTF-8 of all texts, one after the other."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return data.slice(ends[0], ends[-1] - ends[0])
