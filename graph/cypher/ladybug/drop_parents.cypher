LOAD FROM $rows
MATCH (child:`{category}`) WHERE child.`_firstedge_row` = row
MATCH (child)-[edge:`{parent}`]->()
DELETE edge
