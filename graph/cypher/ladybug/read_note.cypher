MATCH (n:`_firstedge`) WHERE n.name = $name
RETURN n.text AS text ORDER BY n.n DESC LIMIT 1
