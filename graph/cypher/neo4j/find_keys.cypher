UNWIND $keys AS key
MATCH ()-[event:`{type}` {`{key}`: key}]->()
RETURN collect(key) AS found
