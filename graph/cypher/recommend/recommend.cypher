// The best items for a user, first edge or thousandth, by the model that is published.
//   user        the user's key, as the graph holds it
//   k           how many items
//   filter      {} or any of {categories: [...], allowed: [...], denied: [...], available: false,
//               exclude_given: false, where: [{name: 'price', min: 1, max: 9}, {name: 'x', any: [...]}]}
//   candidates  how many items to ask of the index; null: what publishing found to be enough;
//               0: none, every item is scored
MATCH (pointer:FirstedgePointer {name: 'current'})
MATCH (model:FirstedgeModel {slot: pointer.slot})
MATCH (user:`{user}` {`{user_key}`: $user})
WITH user, model {.*} AS m

// 1. The user's events, the earliest first.
WITH user, m, COLLECT {
  MATCH (user)-[event:`{types}`]->(target:`{item}`|`{category}`)
  WITH event, target, [n IN range(0, size(m.types) - 1) WHERE m.types[n] = type(event)][0] AS kind
  WHERE m.to_category[kind] = (target:`{category}`)
  WITH target, kind, m.units[kind] AS unit, event[m.times[kind]] AS at,
    coalesce(event[m.seqs[kind]], 0) AS seq,
    coalesce(event[m.event_weights[kind]], 1.0) AS weight
  WITH target, kind, seq, weight, CASE
      WHEN at IS NULL OR unit = 'ms' THEN at
      WHEN unit = 's' THEN at * 1000
      WHEN at IS :: ZONED DATETIME THEN at.epochMillis
      ELSE datetime(toString(at)).epochMillis
    END AS time
  RETURN {target: target, kind: kind, weight: weight} AS event
  ORDER BY coalesce(time, -9223372036854775807), seq, target:`{category}`,
    toString(coalesce(target.`{item_key}`, target.`{category_key}`)), kind, weight
} AS events

// 2. One edge for each target: what was taken back is gone, the strongest event speaks, the
//    latest says how recent it is.
CALL (m, events) {
  UNWIND range(0, size(events) - 1) AS n
  WITH events[n] AS event, n
  WITH event.target AS target, collect({n: n, kind: event.kind, weight: event.weight}) AS own
  WITH target, reduce(kept = own, c IN range(0, size(m.closing) - 1) | reduce(
    state = {open: 0, kept: []}, e IN reverse(kept) | CASE
      WHEN e.kind = m.closing[c] THEN {open: state.open + 1, kept: [e] + state.kept}
      WHEN e.kind = m.closed[c] AND state.open > 0 THEN {open: state.open - 1, kept: state.kept}
      ELSE {open: state.open, kept: [e] + state.kept}
    END).kept) AS kept
  WITH target, [e IN kept WHERE m.weights[e.kind] > 0 AND e.weight > 0] AS spoken
  WHERE size(spoken) > 0
  WITH target, spoken[-1].n AS latest, reduce(best = spoken[0], e IN spoken | CASE
    WHEN m.weights[e.kind] * e.weight >= m.weights[best.kind] * best.weight THEN e ELSE best
  END) AS best, target[m.input] AS input
  WHERE input IS NOT NULL
  ORDER BY latest DESC
  WITH collect({
    node: target, input: input, item: target:`{item}`,
    a: m.weights[best.kind] * best.weight * m.kind_factors[best.kind]
  }) AS edges
  RETURN [n IN range(0, size(edges) - 1) | {
    node: edges[n].node, input: edges[n].input, item: edges[n].item, a: edges[n].a / sqrt(size(edges))
      * m.recency[CASE WHEN n < size(m.recency) THEN n ELSE size(m.recency) - 1 END]
  }] AS given
}

// 3. The vector of the user: a sum over these edges and the profile.
WITH m, given,
  toString(CASE WHEN size(given) < m.steps THEN size(given) ELSE m.steps - 1 END) AS step,
  [g IN given WHERE g.item] AS items, COLLECT {
    UNWIND m.profile_fields AS field
    WITH field, user[field] AS value
    UNWIND CASE WHEN value IS :: LIST<ANY> THEN value ELSE [value] END AS one
    WITH field + '=' + trim(CASE one WHEN true THEN 'True' WHEN false THEN 'False' ELSE toString(one) END) AS text
    MATCH (word:FirstedgeProfileValue {value: text})
    WHERE word[m.column] IS NOT NULL
    RETURN DISTINCT {vector: word[m.vector], column: word[m.column]} AS word
  } AS words
WITH m, given, items, words, m['before_' + step] AS before, m['scale_' + step] AS scale
WITH m, items, [g IN items | g.node] AS had,
  [d IN range(0, m.net - 1) | reduce(
    s = before[d] + scale[d] * reduce(s = 0.0, g IN given | s + g.a * g.input[d]),
    word IN words | s + word.vector[d])]
  + [d IN range(m.net, m.net + m.categories - 1) | reduce(s = 0.0, g IN given | s + g.a * g.input[d])]
  + [p IN range(0, m.profiles - 1) | CASE
      WHEN any(word IN words WHERE word.column = p) THEN m.profile_share ELSE 0.0 END]
  + [m.static_share, 0.0] AS q,
  reduce(s = 0.0, g IN given | s + g.a * g.input[m.net + m.categories]) AS offset
WITH m, items, had, q, sqrt(reduce(s = 0.0, x IN q | s + x * x)) AS length,
  reduce(s = offset, d IN range(0, m.dim - 2) | s + q[d] * m.centre[d]) AS base

// 4. Candidates: what the index finds, and all that an edge leads to. Where a filter leaves few
//    items, they are all scored instead.
WITH m, items, had, q, length, base, CASE
    WHEN $filter.allowed IS NOT NULL THEN size($filter.allowed)
    WHEN $filter.categories IS NOT NULL THEN COUNT {
      MATCH (root:`{category}`) WHERE root.`{category_key}` IN $filter.categories
      MATCH (root)<-[:`{parent}`*0..]-(:`{category}`)<-[:`{member}`]-(:`{item}`)
    }
    WHEN $filter.where IS NOT NULL THEN m.items
  END AS passing
WITH m, items, had, q, length, base, CASE
    WHEN $candidates IS NOT NULL THEN $candidates
    WHEN passing <= 5000 THEN 0
    ELSE m.candidates * CASE WHEN $k > 20 THEN $k / 20.0 ELSE 1 END
      + size(had) + size(coalesce($filter.denied, []))
  END AS wanted
CALL (m, q, wanted) {
  UNWIND CASE WHEN wanted > 0 THEN [toInteger(wanted)] ELSE [] END AS number
  CALL db.index.vector.queryNodes(m.index, number, q) YIELD node, score
  RETURN collect({item: node, sparse: 0.0, cosine: 2 * score - 1}) AS hits
}
CALL (m, items) {
  UNWIND items AS g
  WITH g.node AS node, g.a AS a
  CALL (m, node, a) {
    WITH node AS source WHERE m.slot = 'a'
    MATCH (source)-[edge:FIRSTEDGE_A_SIMILAR]->(item)
    RETURN item, a * edge.weight AS share
    UNION ALL
    WITH node AS source WHERE m.slot = 'b'
    MATCH (source)-[edge:FIRSTEDGE_B_SIMILAR]->(item)
    RETURN item, a * edge.weight AS share
    UNION ALL
    RETURN node AS item, a * m.repeat AS share
  }
  WITH item, sum(share) AS sparse
  RETURN collect({item: item, sparse: sparse, cosine: null}) AS near
}
CALL (m, had, hits, near) {
  UNWIND hits + near AS row
  WITH row.item AS item, sum(row.sparse) AS sparse, max(row.cosine) AS cosine
  WHERE NOT (coalesce($filter.exclude_given, true) AND item IN had)
    AND (m.available = '' OR $filter.available = false
      OR NOT coalesce(item[m.available], true) IN [false, 0, ''])
    AND ($filter.allowed IS NULL OR item.`{item_key}` IN $filter.allowed)
    AND NOT item.`{item_key}` IN coalesce($filter.denied, [])
    AND ($filter.categories IS NULL OR EXISTS {
      MATCH (item)-[:`{member}`]->(:`{category}`)-[:`{parent}`*0..]->(above:`{category}`)
      WHERE above.`{category_key}` IN $filter.categories
    })
    AND all(c IN coalesce($filter.where, []) WHERE any(v IN [item[c.name]] WHERE CASE
      WHEN c.any IS NULL THEN v >= coalesce(c.min, v) AND v <= coalesce(c.max, v)
      WHEN v IS :: LIST<ANY> THEN any(x IN v WHERE x IN c.any)
      ELSE v IN c.any
    END))
  RETURN collect({item: item, sparse: sparse, cosine: cosine}) AS rows
}

// 5. An item beyond the hits has no more than the last hit, plus its edges: few can still win. The
//    index is approximate, so a neighbour is granted what one of the first hits has. If too few
//    hits pass the filter, every item that passes is scored.
WITH m, had, q, length, base, rows, CASE
  WHEN size(hits) = 0 THEN 1.0
  WHEN size(hits) < toInteger(wanted) THEN -1.0
  ELSE hits[-1].cosine
END * length AS last, CASE
  WHEN size(hits) > 0 THEN hits[size(hits) / 20].cosine ELSE 1.0
END * length AS granted
WITH m, had, q, length, base, rows, last, granted, COLLECT {
  UNWIND rows AS row
  WITH row WHERE row.cosine IS NOT NULL
  RETURN row.cosine * length + row.sparse AS score
  ORDER BY score DESC LIMIT $k
} AS best
WITH m, had, q, length, base, rows, last, granted, CASE WHEN size(best) = $k THEN best[-1] END AS floor
WITH m, had, q, length, base, rows, granted, floor, coalesce(floor >= last, false) AS enough
CALL (m, had, q, length, base, rows, granted, floor, enough) {
  WITH enough AS once WHERE enough
  UNWIND rows AS row
  WITH row.item AS item, row.sparse AS sparse, row.cosine AS cosine
  WHERE cosine IS NOT NULL OR sparse + granted >= floor
  RETURN item, sparse + base + length
    * coalesce(cosine, 2 * vector.similarity.cosine(item[m.vector], q) - 1) AS score
  UNION ALL
  WITH enough AS short WHERE NOT enough
  CALL () {
    WITH 1 AS once WHERE $filter.allowed IS NOT NULL
    UNWIND $filter.allowed AS id
    MATCH (item:`{item}` {`{item_key}`: id})
    RETURN DISTINCT item
    UNION ALL
    WITH 1 AS once WHERE $filter.allowed IS NULL AND $filter.categories IS NOT NULL
    MATCH (root:`{category}`) WHERE root.`{category_key}` IN $filter.categories
    MATCH (root)<-[:`{parent}`*0..]-(:`{category}`)<-[:`{member}`]-(item:`{item}`)
    RETURN DISTINCT item
    UNION ALL
    WITH 1 AS once WHERE $filter.allowed IS NULL AND $filter.categories IS NULL
    MATCH (item:`{item}`)
    RETURN item
  }
  WITH item, item[m.vector] AS vector
  WHERE vector IS NOT NULL AND NOT (coalesce($filter.exclude_given, true) AND item IN had)
    AND (m.available = '' OR $filter.available = false
      OR NOT coalesce(item[m.available], true) IN [false, 0, ''])
    AND NOT item.`{item_key}` IN coalesce($filter.denied, [])
    AND ($filter.allowed IS NULL OR $filter.categories IS NULL OR EXISTS {
      MATCH (item)-[:`{member}`]->(:`{category}`)-[:`{parent}`*0..]->(above:`{category}`)
      WHERE above.`{category_key}` IN $filter.categories
    })
    AND all(c IN coalesce($filter.where, []) WHERE any(v IN [item[c.name]] WHERE CASE
      WHEN c.any IS NULL THEN v >= coalesce(c.min, v) AND v <= coalesce(c.max, v)
      WHEN v IS :: LIST<ANY> THEN any(x IN v WHERE x IN c.any)
      ELSE v IN c.any
    END))
  WITH collect({item: item, sparse: 0.0,
    dense: base + length * (2 * vector.similarity.cosine(vector, q) - 1)}) AS all
  UNWIND all + [row IN rows WHERE NOT enough | {item: row.item, sparse: row.sparse, dense: null}] AS row
  WITH row.item AS item, sum(row.sparse) AS sparse, max(row.dense) AS dense
  RETURN item, dense + sparse AS score
}
RETURN toString(item.`{item_key}`) AS id, score
ORDER BY score DESC, id
LIMIT $k
