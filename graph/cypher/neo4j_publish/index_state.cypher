SHOW INDEXES YIELD name, type, state, failureMessage, labelsOrTypes, properties, options
WHERE name = $name OR (type = 'VECTOR' AND labelsOrTypes = [$label] AND properties = [$property])
RETURN name, state, failureMessage,
  coalesce(options.indexConfig['vector.dimensions'], 0) AS dimensions
