LOAD FROM $rows
MATCH (n:`{label}`) WHERE n.`_firstedge_row` = row
WITH n, value
WHERE n.`{property}` IS NULL OR n.`{property}` <> value
SET n.`{property}` = value
