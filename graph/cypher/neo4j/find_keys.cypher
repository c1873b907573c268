// Without the hint, a plan made before the index knows how many keys it holds scans it for each key.
UNWIND $keys AS key
MATCH ()-[event:`{type}` {`{key}`: key}]->()
USING INDEX SEEK event:`{type}`(`{key}`)
RETURN collect(key) AS found
