MATCH (child:`{category}`)-[:`{parent}`]->(parent:`{category}`)
WHERE child.`{category_key}` IS NOT NULL AND parent.`{category_key}` IS NOT NULL
RETURN toString(child.`{category_key}`) AS child, min(toString(parent.`{category_key}`)) AS parent
