MATCH ()-[e:`{type}`]->() RETURN count(*) AS number
