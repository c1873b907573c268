MATCH (n:`{label}`) RETURN hash(n.`{key}`) AS hash, n.`_firstedge_row` AS row
