MATCH ()-[edge:`{similar}`]->()
CALL (edge) {
  DELETE edge
} IN TRANSACTIONS OF 20000 ROWS
