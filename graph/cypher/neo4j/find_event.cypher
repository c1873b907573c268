MATCH (:`{user}`)-[event:`{type}`]->(:`{target}`)
RETURN 1 AS example
LIMIT 1
