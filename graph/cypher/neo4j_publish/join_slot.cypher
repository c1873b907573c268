MATCH (model:FirstedgeModel {slot: $slot, ready: true})
SET model.run = $run
