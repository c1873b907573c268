LOAD FROM $rows
MATCH (child:`{category}`) WHERE child.`_firstedge_row` = source
WITH child, target
MATCH (above:`{category}`) WHERE above.`_firstedge_row` = target
CREATE (child)-[:`{parent}`]->(above)
