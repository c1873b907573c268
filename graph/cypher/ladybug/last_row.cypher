MATCH (n:`{label}`) RETURN max(n.`_firstedge_row`) AS row
