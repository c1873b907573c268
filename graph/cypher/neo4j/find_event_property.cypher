MATCH (:`{user}`)-[event:`{type}`]->(:`{target}`)
WHERE event[$name] IS NOT NULL
RETURN event[$name] AS example
LIMIT 1
