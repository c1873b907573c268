MATCH (u:`{user}`)-[e:`{type}`]->(t:`{target}`)
RETURN u.`{user_key}` AS user, t.`{target_key}` AS target,
  e.`{time}` AS time, e.`{seq}` AS seq, e.`{weight}` AS weight, e.`{key}` AS key
