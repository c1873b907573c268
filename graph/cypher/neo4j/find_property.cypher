MATCH (n:`{label}`)
WHERE n[$name] IS NOT NULL
RETURN n[$name] AS example
LIMIT 1
