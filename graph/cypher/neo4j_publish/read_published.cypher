MATCH (n:`{item}`)
WHERE n.`{vector}` IS NOT NULL
RETURN toString(n.`{item_key}`) AS id
