MERGE (n:`_firstedge` {name: $name}) SET n.text = $text
