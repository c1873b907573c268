UNWIND range(0, size($ids) - 1) AS row
CREATE (n:`{label}` {`{key}`: $ids[row]})
SET n += $properties[row]
