// Each node is looked up once; a row then points at its two by position.
WITH COLLECT {
  UNWIND range(0, size($sources) - 1) AS row
  MATCH (source:`{item}` {`{item_key}`: $sources[row]})
  USING INDEX SEEK source:`{item}`(`{item_key}`)
  RETURN source ORDER BY row
} AS sources, COLLECT {
  UNWIND range(0, size($targets) - 1) AS row
  MATCH (target:`{item}` {`{item_key}`: $targets[row]})
  USING INDEX SEEK target:`{item}`(`{item_key}`)
  RETURN target ORDER BY row
} AS targets
WHERE size(sources) = size($sources) AND size(targets) = size($targets)
UNWIND range(0, size($weight) - 1) AS row
WITH sources[$source[row]] AS source, targets[$target[row]] AS target, row
CREATE (source)-[:`{similar}` {weight: $weight[row], users: $users[row]}]->(target)
