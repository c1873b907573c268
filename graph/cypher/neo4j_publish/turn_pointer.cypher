MATCH (pointer:FirstedgePointer {name: 'current'})
MATCH (model:FirstedgeModel {slot: $slot, ready: true})
SET pointer.slot = $slot
RETURN model.version AS version
