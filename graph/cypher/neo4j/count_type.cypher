MATCH ()-[event:`{type}`]->()
RETURN count(event) AS number
