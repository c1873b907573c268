LOAD FROM $rows RETURN position, hash(key) AS hash
