LOAD FROM $rows
MATCH (n:`{label}`) WHERE n.`_firstedge_row` = row
RETURN n.*
