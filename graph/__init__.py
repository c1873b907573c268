"""What is known: the schema, events, histories and the stores that keep them."""
