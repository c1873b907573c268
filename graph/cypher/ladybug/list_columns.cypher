MATCH (n:`{label}`) RETURN n.* LIMIT 0
