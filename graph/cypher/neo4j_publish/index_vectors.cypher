CREATE VECTOR INDEX `{index}` IF NOT EXISTS
FOR (n:`{item}`) ON (n.`{vector}`)
OPTIONS $options
