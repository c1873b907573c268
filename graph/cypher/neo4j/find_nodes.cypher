UNWIND $ids AS id
MATCH (n:`{label}` {`{key}`: id})
USING INDEX SEEK n:`{label}`(`{key}`)
RETURN collect(id) AS found
