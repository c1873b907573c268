UNWIND range(0, size($children) - 1) AS row
MATCH (child:`{category}` {`{category_key}`: $children[row]})-[old:`{parent}`]->(parent:`{category}`)
USING INDEX SEEK child:`{category}`(`{category_key}`)
WHERE parent.`{category_key}` <> $parents[row]
DELETE old
