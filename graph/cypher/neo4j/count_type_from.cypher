MATCH (:`{user}`)-[event:`{type}`]->()
RETURN count(event) AS number
