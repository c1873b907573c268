MATCH (n:`{label}`)
WHERE n.`{vector}` IS NOT NULL OR n.`{input}` IS NOT NULL
CALL (n) {
  REMOVE n.`{vector}`, n.`{input}`
} IN TRANSACTIONS OF 5000 ROWS
