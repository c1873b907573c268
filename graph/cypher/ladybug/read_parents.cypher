MATCH (child:`{category}`)-[:`{parent}`]->(above:`{category}`)
RETURN child.`{category_key}` AS child, above.`{category_key}` AS parent
