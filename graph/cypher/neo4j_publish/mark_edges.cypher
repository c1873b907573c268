MATCH (model:FirstedgeModel {slot: $slot})
SET model.edges = $edges
