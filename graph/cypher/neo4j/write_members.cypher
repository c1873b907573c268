UNWIND range(0, size($items) - 1) AS row
MATCH (item:`{item}` {`{item_key}`: $items[row]})
MATCH (category:`{category}` {`{category_key}`: $categories[row]})
MERGE (item)-[:`{member}`]->(category)
