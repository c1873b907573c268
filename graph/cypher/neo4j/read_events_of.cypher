UNWIND $users AS id
MATCH (user:`{user}` {`{user_key}`: id})
USING INDEX SEEK user:`{user}`(`{user_key}`)
WITH user, [(user)-[event:`{type}`]->(target:`{target}`)
  WHERE target.`{target_key}` IS NOT NULL
    AND ($since IS NULL OR CASE
      WHEN NOT $datetime THEN event.`{time}`
      WHEN event.`{time}` IS :: ZONED DATETIME THEN event.`{time}`.epochMillis
      ELSE datetime(toString(event.`{time}`)).epochMillis
    END > $since)
    AND ($until IS NULL OR event.`{time}` IS NULL OR CASE
      WHEN NOT $datetime THEN event.`{time}`
      WHEN event.`{time}` IS :: ZONED DATETIME THEN event.`{time}`.epochMillis
      ELSE datetime(toString(event.`{time}`)).epochMillis
    END <= $until)
  | [event, target]] AS events
WHERE size(events) > 0
RETURN toString(user.`{user_key}`) AS user,
  [one IN events | toString((one[1]).`{target_key}`)] AS targets,
  [one IN events | CASE
    WHEN NOT $datetime THEN (one[0]).`{time}`
    WHEN (one[0]).`{time}` IS :: ZONED DATETIME THEN (one[0]).`{time}`.epochMillis
    ELSE datetime(toString((one[0]).`{time}`)).epochMillis
  END] AS times,
  [one IN events | (one[0]).`{seq}`] AS seqs,
  [one IN events | (one[0]).`{weight}`] AS weights,
  [one IN events | coalesce(toString((one[0]).`{key}`), elementId(one[0]))] AS keys
