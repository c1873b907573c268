LOAD FROM $rows
MATCH (n:`{pending}`) WHERE n.key = key
RETURN position
