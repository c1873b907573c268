LOAD FROM $rows
MATCH (item:`{item}`)-[:`{member}`]->(category:`{category}`)
WHERE item.`_firstedge_row` = source AND category.`_firstedge_row` = target
RETURN position
