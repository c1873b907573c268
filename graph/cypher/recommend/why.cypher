// Why an item has its score for a user: one row a share, the largest first; they add up to the score.
//   user  the user's key, as the graph holds it
//   item  the item's key
// The paths: together (users chose both), again (the same item), category (one in common), interest
// (in a category that the item is in), similar (by text or place in the graph), profile, popular
// (what does not depend on the user's edges).
MATCH (pointer:FirstedgePointer {name: 'current'})
MATCH (model:FirstedgeModel {slot: pointer.slot})
MATCH (user:`{user}` {`{user_key}`: $user})
MATCH (item:`{item}` {`{item_key}`: $item})
WITH user, item, model {.*} AS m
WITH user, item, m, item[m.vector] AS x
WHERE x IS NOT NULL

// 1. The user's events, the earliest first.
WITH user, item, m, x, COLLECT {
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

// 3. The item's side of every product, and what is known of the user.
WITH user, item, m, x, given,
  toString(CASE WHEN size(given) < m.steps THEN size(given) ELSE m.steps - 1 END) AS step
WITH user, item, m, given, m['before_' + step] AS before, m['scale_' + step] AS scale,
  [d IN range(0, m.dim - 2) | x[d] + m.centre[d]] AS z,
  m.net + m.categories AS profile, m.net + m.categories + m.profiles AS static

// 4. The shares.
CALL (user, item, m, given, before, scale, z, profile, static) {
  UNWIND given AS g
  WITH g, g.node AS node
  OPTIONAL MATCH (node)-[edge:FIRSTEDGE_A_SIMILAR|FIRSTEDGE_B_SIMILAR]->(item)
  WHERE type(edge) = m.similar
  WITH g, node, edge, g.a * (g.input[profile]
      + coalesce(edge.weight, 0.0) + CASE WHEN node = item THEN m.repeat ELSE 0.0 END
      + reduce(s = 0.0, d IN range(0, m.net - 1) | s + scale[d] * g.input[d] * z[d])
      + reduce(s = 0.0, d IN range(m.net, profile - 1) | s + g.input[d] * z[d])
    ) AS share,
    [(node)-[:`{member}`]->(common:`{category}`)<-[:`{parent}`*0..]-(:`{category}`)<-[:`{member}`]-(item) |
      common.`{category_name}`][0] AS common,
    EXISTS { (item)-[:`{member}`]->(:`{category}`)-[:`{parent}`*0..]->(node) } AS within
  RETURN CASE
      WHEN node = item THEN 'again'
      WHEN edge.users > 0 THEN 'together'
      WHEN within THEN 'interest'
      WHEN common IS NOT NULL THEN 'category'
      ELSE 'similar'
    END AS path,
    toString(coalesce(node.`{item_key}`, node.`{category_key}`)) AS id, share,
    edge.users AS users, common AS via
  UNION ALL
  UNWIND m.profile_fields AS field
  WITH field, user[field] AS value
  UNWIND CASE WHEN value IS :: LIST<ANY> THEN value ELSE [value] END AS one
  WITH DISTINCT field + '=' + trim(CASE one WHEN true THEN 'True' WHEN false THEN 'False' ELSE toString(one) END) AS text
  MATCH (word:FirstedgeProfileValue {value: text})
  WHERE word[m.column] IS NOT NULL
  WITH text, word[m.vector] AS vector, word[m.column] AS column
  RETURN 'profile' AS path, text AS id,
    reduce(s = 0.0, d IN range(0, m.net - 1) | s + vector[d] * z[d])
      + m.profile_share * z[profile + column] AS share, null AS users, null AS via
  UNION ALL
  RETURN 'popular' AS path, null AS id, m.static_share * z[static]
    + reduce(s = 0.0, d IN range(0, m.net - 1) | s + before[d] * z[d]) AS share,
    null AS users, null AS via
}
RETURN path, id, share, users, via
ORDER BY share DESC
