// Each node is looked up once; a row then points at its two by position.
UNWIND range(0, size($users) - 1) AS row
MATCH (user:`{user}` {`{user_key}`: $users[row]})
WITH row, user ORDER BY row
WITH collect(user) AS users
UNWIND range(0, size($targets) - 1) AS row
MATCH (target:`{target}` {`{target_key}`: $targets[row]})
WITH users, row, target ORDER BY row
WITH users, collect(target) AS targets
WHERE size(users) = size($users) AND size(targets) = size($targets)
UNWIND range(0, size($key) - 1) AS row
WITH users[$user[row]] AS user, targets[$target[row]] AS target, row
CREATE (user)-[:`{type}` {
  `{key}`: $key[row],
  `{time}`: CASE
    WHEN $datetime AND $time[row] IS NOT NULL THEN datetime({epochMillis: $time[row]})
    ELSE $time[row]
  END,
  `{seq}`: $seq[row],
  `{weight}`: $weight[row]
}]->(target)
