MATCH (n:FirstedgeModel|FirstedgePointer|FirstedgeProfileValue)
CALL (n) {
  DETACH DELETE n
} IN TRANSACTIONS OF 5000 ROWS
