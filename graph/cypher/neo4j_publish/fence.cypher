// The write takes the model's lock: of two runs only the later one goes on.
MATCH (model:FirstedgeModel {slot: $slot})
SET model.run = model.run
RETURN model.run = $run AS ours, coalesce(model.edges, 0) AS edges
