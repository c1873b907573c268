UNWIND range(0, size($children) - 1) AS row
MATCH (child:`{category}` {`{category_key}`: $children[row]})
MATCH (parent:`{category}` {`{category_key}`: $parents[row]})
MERGE (child)-[:`{parent}`]->(parent)
