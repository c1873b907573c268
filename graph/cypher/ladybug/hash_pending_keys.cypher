MATCH (n:`{pending}`) RETURN hash(n.key) AS hash
