MATCH (u:`{user}`)-[e:`{type}`]->()
WHERE u.`_firstedge_row` >= $first AND u.`_firstedge_row` < $last
RETURN hash(e.`{key}`) AS hash
