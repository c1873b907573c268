CALL db.createRelationshipType($name)
