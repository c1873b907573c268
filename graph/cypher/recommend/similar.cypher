// The items to whose scores an event on this item adds most, popularity left aside.
//   item  the item's key, as the graph holds it
//   k     how many items
MATCH (pointer:FirstedgePointer {name: 'current'})
MATCH (model:FirstedgeModel {slot: pointer.slot})
MATCH (source:`{item}` {`{item_key}`: $item})
WITH source, model {.*} AS m
WITH source, m, source[m.input] AS input,
  m.kind_factors[m.default_kind] * m.recency[0] AS a,
  m['scale_' + CASE WHEN m.steps > 1 THEN '1' ELSE '0' END] AS scale
WHERE input IS NOT NULL
WITH source, m, a, a * input[m.net + m.categories] AS offset,
  [d IN range(0, m.net - 1) | scale[d] * a * input[d]]
  + [d IN range(m.net, m.net + m.categories - 1) | a * input[d]]
  + [d IN range(0, m.profiles + 1) | 0.0] AS q
WITH source, m, a, q, sqrt(reduce(s = 0.0, x IN q | s + x * x)) AS length,
  reduce(s = offset, d IN range(0, m.dim - 2) | s + q[d] * m.centre[d]) AS base

// Candidates: of a small catalogue all items; of a large one what the index finds, and all that an
// edge leads to.
CALL (m, q, length) {
  CALL (m, q, length) {
    WITH 1 AS once WHERE m.items <= 5000 AND length > 0
    MATCH (item:`{item}`)
    WITH item, item[m.vector] AS vector WHERE vector IS NOT NULL
    RETURN item, 2 * vector.similarity.cosine(vector, q) - 1 AS cosine
    UNION ALL
    UNWIND CASE WHEN m.items > 5000 AND length > 0 THEN [m.candidates + $k] ELSE [] END AS number
    CALL db.index.vector.queryNodes(m.index, toInteger(number), q) YIELD node, score
    RETURN node AS item, 2 * score - 1 AS cosine
  }
  RETURN collect({item: item, sparse: 0.0, cosine: cosine}) AS hits
}
CALL (source, m, a) {
  CALL (source, m) {
    WITH 1 AS once WHERE m.slot = 'a'
    MATCH (source)-[edge:FIRSTEDGE_A_SIMILAR]->(item)
    RETURN item, edge.weight AS weight
    UNION ALL
    WITH 1 AS once WHERE m.slot = 'b'
    MATCH (source)-[edge:FIRSTEDGE_B_SIMILAR]->(item)
    RETURN item, edge.weight AS weight
  }
  RETURN collect({item: item, sparse: a * weight, cosine: null}) AS near
}
CALL (source, m, q, length, base, hits, near) {
  UNWIND hits + near AS row
  WITH row.item AS item, sum(row.sparse) AS sparse, max(row.cosine) AS cosine
  WHERE item <> source AND (m.available = ''
    OR NOT coalesce(item[m.available], true) IN [false, 0, ''])
  RETURN item, sparse + base + CASE WHEN length = 0 THEN 0.0 ELSE length
    * coalesce(cosine, 2 * vector.similarity.cosine(item[m.vector], q) - 1) END AS score
}
RETURN toString(item.`{item_key}`) AS id, score
ORDER BY score DESC, id
LIMIT $k
