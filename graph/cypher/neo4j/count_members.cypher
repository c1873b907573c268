MATCH (:`{item}`)-[r:`{member}`]->(:`{category}`)
RETURN count(r) AS number
