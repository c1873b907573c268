UNWIND range(0, size($values) - 1) AS row
MERGE (value:FirstedgeProfileValue {value: $values[row]})
SET value.`{column}` = $start + row
WITH value, row
CALL db.create.setNodeVectorProperty(value, $property, $vectors[row])
