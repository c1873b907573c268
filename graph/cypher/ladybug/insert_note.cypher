CREATE (:`_firstedge` {n: $n, name: $name, text: $text})
