// One direction only: keeping both would take twice the time and the room.
CREATE REL TABLE `{type}` (
  FROM `{user}` TO `{target}`,
  `{time}` INT64, `{seq}` INT64, `{weight}` DOUBLE, `{key}` STRING
) WITH (storage_direction = 'fwd')
