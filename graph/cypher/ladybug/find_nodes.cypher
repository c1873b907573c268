LOAD FROM $rows
MATCH (n:`{label}`) WHERE n.`{key}` = id
RETURN position, n.`_firstedge_row` AS row
