MATCH (n:`{pending}`)
RETURN n.type AS type, n.source AS source, n.target AS target,
  n.time AS time, n.seq AS seq, n.weight AS weight, n.key AS key
