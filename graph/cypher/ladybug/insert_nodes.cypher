LOAD FROM $rows CREATE (:`{label}` {`{key}`: id})
