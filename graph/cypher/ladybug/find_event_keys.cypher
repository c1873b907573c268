LOAD FROM $rows
MATCH (u:`{user}`)-[e:`{type}`]->()
WHERE e.`{key}` = key AND u.`_firstedge_row` >= $first AND u.`_firstedge_row` < $last
RETURN position
