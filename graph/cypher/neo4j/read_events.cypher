// A row a user, with their events in a list: a row an event would take ten times as long.
MATCH (user:`{user}`)
WHERE user.`{user_key}` IS NOT NULL
WITH user, [(user)-[event:`{type}`]->(target:`{target}`)
  WHERE target.`{target_key}` IS NOT NULL | [
  toString(target.`{target_key}`),
  CASE
    WHEN NOT $datetime THEN event.`{time}`
    WHEN event.`{time}` IS :: ZONED DATETIME THEN event.`{time}`.epochMillis
    ELSE datetime(toString(event.`{time}`)).epochMillis
  END,
  event.`{seq}`,
  event.`{weight}`,
  coalesce(toString(event.`{key}`), elementId(event))
]] AS all
WITH user, [event IN all
  WHERE ($since IS NULL OR event[1] > $since)
    AND ($until IS NULL OR event[1] IS NULL OR event[1] <= $until)] AS events
WHERE size(events) > 0
RETURN toString(user.`{user_key}`) AS user, events
