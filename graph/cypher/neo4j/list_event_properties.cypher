MATCH ()-[event:`{type}`]->()
WITH event LIMIT 1000
UNWIND keys(event) AS key
RETURN collect(DISTINCT key) AS names
