// Each node is looked up once; a row then points at its two by position. The hints are for a graph
// that has grown since this was planned: see find_keys.
WITH COLLECT {
  UNWIND range(0, size($users) - 1) AS row
  MATCH (user:`{user}` {`{user_key}`: $users[row]})
  USING INDEX SEEK user:`{user}`(`{user_key}`)
  RETURN user ORDER BY row
} AS users, COLLECT {
  UNWIND range(0, size($targets) - 1) AS row
  MATCH (target:`{target}` {`{target_key}`: $targets[row]})
  USING INDEX SEEK target:`{target}`(`{target_key}`)
  RETURN target ORDER BY row
} AS targets
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
