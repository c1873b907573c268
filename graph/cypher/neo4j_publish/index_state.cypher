SHOW INDEXES YIELD name, state, failureMessage
WHERE name = $name
RETURN state, failureMessage
