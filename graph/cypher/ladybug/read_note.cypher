MATCH (n:`_firstedge` {name: $name}) RETURN n.text AS text
