MATCH (item:`{item}`)-[:`{member}`]->(category:`{category}`)
RETURN item.`{item_key}` AS item, category.`{category_key}` AS category
