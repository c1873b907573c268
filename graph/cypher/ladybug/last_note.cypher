MATCH (n:`_firstedge`) RETURN max(n.n) AS n
