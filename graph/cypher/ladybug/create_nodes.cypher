// The key is not the primary key: an index on strings may lose one in some 100,000 of them when
// it grows by COPY (seen in 0.22); one on numbers does not.
CREATE NODE TABLE `{label}` (`_firstedge_row` SERIAL PRIMARY KEY, `{key}` STRING)
