UNWIND $children AS id
MATCH (start:`{category}` {`{category_key}`: id})-[:`{parent}`*0..]->(child:`{category}`)
USING INDEX SEEK start:`{category}`(`{category_key}`)
MATCH (child)-[:`{parent}`]->(parent:`{category}`)
RETURN DISTINCT toString(child.`{category_key}`) AS child, toString(parent.`{category_key}`) AS parent
