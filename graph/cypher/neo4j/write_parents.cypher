UNWIND range(0, size($children) - 1) AS row
MATCH (child:`{category}` {`{category_key}`: $children[row]})
USING INDEX SEEK child:`{category}`(`{category_key}`)
MATCH (parent:`{category}` {`{category_key}`: $parents[row]})
USING INDEX SEEK parent:`{category}`(`{category_key}`)
MERGE (child)-[:`{parent}`]->(parent)
