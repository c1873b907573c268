MATCH ()-[e:`{type}`]->() RETURN e.* LIMIT 0
