CALL db.index.vector.queryNodes($index, $candidates, $vector) YIELD node
RETURN collect(toString(node.`{item_key}`)) AS ids
