"""How a publication is laid out in a graph: two slots; a pointer names the one that is read.

    (:FirstedgePointer {name: 'current', slot})      the slot that queries read
    (:FirstedgeModel {slot, version, ...})           one for each slot
    (:FirstedgeProfileValue {value, ...})            words such as 'country=UK'
    item, category and profile value                 firstedge_<slot>_vector, firstedge_<slot>_input
    (item)-[:FIRSTEDGE_<SLOT>_SIMILAR {weight, users}]->(item)

A slot that is not read is emptied and filled, and its index built, before the pointer moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from firstedge.graph.schema import Schema

SLOTS = ("a", "b")
MODEL, POINTER, VALUE = "FirstedgeModel", "FirstedgePointer", "FirstedgeProfileValue"
CONSTRAINTS = {
    "firstedge_model": (MODEL, "slot"),
    "firstedge_pointer": (POINTER, "name"),
    "firstedge_value": (VALUE, "value"),
}


@dataclass(frozen=True)
class Slot:
    """The names of one slot.

    Attributes:
        letter: "a" or "b".
    """

    letter: str

    @property
    def vector(self) -> str:
        """Property of items: the indexed vector; of users and profile values: theirs."""
        return f"firstedge_{self.letter}_vector"

    @property
    def input(self) -> str:
        """Property of items and categories: what they add to a user who has them."""
        return f"firstedge_{self.letter}_input"

    @property
    def column(self) -> str:
        """Property of profile values: their place among all."""
        return f"firstedge_{self.letter}_column"

    @property
    def similar(self) -> str:
        """Type of the edges between items."""
        return f"FIRSTEDGE_{self.letter.upper()}_SIMILAR"

    @property
    def index(self) -> str:
        """Name of the vector index."""
        return f"firstedge_{self.letter}_items"

    @property
    def other(self) -> Slot:
        """The other slot."""
        return Slot(SLOTS[1 - SLOTS.index(self.letter)])

    def names(self) -> dict[str, str]:
        """The placeholders of the slot in queries."""
        return {
            "vector": self.vector,
            "input": self.input,
            "column": self.column,
            "similar": self.similar,
            "index": self.index,
        }


def key_indexes(schema: Schema) -> dict[str, tuple[str, str]]:
    """Names of the indexes that make keys quick to find, with label and key."""
    return {
        "firstedge_user_key": (schema.user.label, schema.user.key),
        "firstedge_item_key": (schema.item.label, schema.item.key),
        "firstedge_category_key": (schema.category.label, schema.category.key),
    }
