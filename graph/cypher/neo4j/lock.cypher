// Held to the end of the transaction: one writer at a time, so that keys stay unique among kinds.
MERGE (lock:FirstedgeNote {name: 'firstedge write lock'})
SET lock.text = ''
