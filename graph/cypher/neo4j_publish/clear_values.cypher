MATCH (value:FirstedgeProfileValue)
CALL (value) {
  REMOVE value.`{vector}`, value.`{column}`
} IN TRANSACTIONS OF 5000 ROWS
