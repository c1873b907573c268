MERGE (model:FirstedgeModel {slot: $slot})
SET model = {slot: $slot, run: $run, ready: false}
