MATCH (n:`{pending}`) RETURN n.type AS type, count(*) AS number
