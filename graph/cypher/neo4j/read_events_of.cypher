UNWIND $users AS id
MATCH (user:`{user}` {`{user_key}`: id})
USING INDEX SEEK user:`{user}`(`{user_key}`)
WITH user, [(user)-[event:`{type}`]->(target:`{target}`)
  WHERE target.`{target_key}` IS NOT NULL | [event, target, CASE
    WHEN NOT $datetime THEN event.`{time}`
    WHEN event.`{time}` IS :: ZONED DATETIME THEN event.`{time}`.epochMillis
    ELSE datetime(toString(event.`{time}`)).epochMillis
  END]] AS all
WITH user, [one IN all
  WHERE ($since IS NULL OR one[2] > $since)
    AND ($until IS NULL OR one[2] IS NULL OR one[2] <= $until)] AS events
WHERE size(events) > 0
RETURN toString(user.`{user_key}`) AS user,
  [one IN events | toString((one[1]).`{target_key}`)] AS targets,
  [one IN events | one[2]] AS times,
  [one IN events | (one[0]).`{seq}`] AS seqs,
  [one IN events | (one[0]).`{weight}`] AS weights,
  [one IN events | coalesce(toString((one[0]).`{key}`), elementId(one[0]))] AS keys
