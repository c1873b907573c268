UNWIND range(0, size($ids) - 1) AS row
MATCH (n:`{label}` {`{key}`: $ids[row]})
USING INDEX SEEK n:`{label}`(`{key}`)
CALL db.create.setNodeVectorProperty(n, $property, $vectors[row])
