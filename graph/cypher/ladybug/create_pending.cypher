CREATE NODE TABLE `{pending}` (
  n SERIAL PRIMARY KEY,
  type STRING, source INT64, target INT64, time INT64, seq INT64, weight DOUBLE, key STRING
)
