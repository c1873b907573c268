MATCH (n:`{label}`)
WHERE n.`{key}` IS NOT NULL
RETURN n.`{key}` AS key
LIMIT 1
