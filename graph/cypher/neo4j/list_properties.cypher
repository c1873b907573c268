MATCH (n:`{label}`)
WITH n LIMIT 1000
UNWIND keys(n) AS key
RETURN collect(DISTINCT key) AS names
