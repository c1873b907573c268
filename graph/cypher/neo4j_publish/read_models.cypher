MATCH (model:FirstedgeModel)
OPTIONAL MATCH (pointer:FirstedgePointer {name: 'current', slot: model.slot})
RETURN properties(model) AS model, pointer IS NOT NULL AS current
