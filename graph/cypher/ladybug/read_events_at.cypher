// By the primary key, so that what others did is not looked at.
MATCH (u:`{user}`)-[e:`{type}`]->(t:`{target}`)
WHERE u.`_firstedge_row` = $row
  AND ((e.`{time}` IS NULL AND $timeless) OR (e.`{time}` >= $first AND e.`{time}` <= $last))
RETURN u.`{user_key}` AS user, t.`{target_key}` AS target,
  e.`{time}` AS time, e.`{seq}` AS seq, e.`{weight}` AS weight, e.`{key}` AS key
