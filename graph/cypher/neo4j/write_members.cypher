UNWIND range(0, size($items) - 1) AS row
MATCH (item:`{item}` {`{item_key}`: $items[row]})
USING INDEX SEEK item:`{item}`(`{item_key}`)
MATCH (category:`{category}` {`{category_key}`: $categories[row]})
USING INDEX SEEK category:`{category}`(`{category_key}`)
MERGE (item)-[:`{member}`]->(category)
