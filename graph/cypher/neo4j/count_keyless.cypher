MATCH (n:`{label}`)
WHERE n.`{key}` IS NULL
RETURN count(n) AS number
