UNWIND $ids AS id
MATCH (n:`{label}` {`{key}`: id})
USING INDEX SEEK n:`{label}`(`{key}`)
WITH collect(DISTINCT n) AS nodes
RETURN [n IN nodes | toString(n.`{key}`)] AS ids,
  [field IN $fields | [n IN nodes | n[field]]] AS columns
