MATCH (category:`{category}`)
WHERE category.`{category_key}` IS NOT NULL
WITH category, [(item:`{item}`)-[:`{member}`]->(category)
  WHERE item.`{item_key}` IS NOT NULL | toString(item.`{item_key}`)] AS items
WHERE size(items) > 0
RETURN items, toString(category.`{category_key}`) AS category
