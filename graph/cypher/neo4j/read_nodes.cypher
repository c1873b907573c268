// Many nodes a row: a row for each would cost most of the time.
MATCH (n:`{label}`)
WHERE n.`{key}` IS NOT NULL
WITH collect(n) AS nodes
UNWIND range(0, size(nodes) - 1, 1000) AS start
WITH nodes[start..start + 1000] AS page
RETURN [n IN page | toString(n.`{key}`)] AS ids,
  [field IN $fields | [n IN page | n[field]]] AS columns
