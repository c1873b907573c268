UNWIND $ids AS id
MATCH (item:`{item}` {`{item_key}`: id})
USING INDEX SEEK item:`{item}`(`{item_key}`)
MATCH (item)-[:`{member}`]->(category:`{category}`)
WHERE category.`{category_key}` IS NOT NULL
RETURN collect(toString(item.`{item_key}`)) AS items, toString(category.`{category_key}`) AS category
