MATCH (n:`{label}`) RETURN n.*
