MATCH (n:`_firstedge`) WHERE n.name = $name AND n.n < $n DELETE n
