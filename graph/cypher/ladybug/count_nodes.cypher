MATCH (n:`{label}`) RETURN count(*) AS number
