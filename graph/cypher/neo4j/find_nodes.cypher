UNWIND $ids AS id
MATCH (n:`{label}` {`{key}`: id})
RETURN collect(id) AS found
