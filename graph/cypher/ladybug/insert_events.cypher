LOAD FROM $rows
MATCH (u:`{user}`) WHERE u.`_firstedge_row` = source
WITH u, target, time, seq, weight, key
MATCH (t:`{target}`) WHERE t.`_firstedge_row` = target
CREATE (u)-[:`{type}` {`{time}`: time, `{seq}`: seq, `{weight}`: weight, `{key}`: key}]->(t)
