MATCH (:`{user}`)-[event:`{type}`]->(:`{target}`)
RETURN count(event) AS number
