LOAD FROM $rows
MATCH (item:`{item}`) WHERE item.`_firstedge_row` = row
WITH item
MATCH (item)-[:`{member}`]->(category:`{category}`)
RETURN item.`{item_key}` AS item, category.`{category_key}` AS category
