CREATE CONSTRAINT IF NOT EXISTS
FOR ()-[event:`{type}`]-() REQUIRE event.`{key}` IS UNIQUE
