MATCH (n)
RETURN count(n) AS number
