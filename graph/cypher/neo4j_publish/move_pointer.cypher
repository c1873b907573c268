MATCH (model:FirstedgeModel {slot: $slot, run: $run})
SET model += $properties, model.ready = true
MERGE (pointer:FirstedgePointer {name: 'current'})
SET pointer.slot = $slot
RETURN count(model) AS moved
