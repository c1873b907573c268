UNWIND $children AS id
MATCH (:`{category}` {`{category_key}`: id})-[:`{parent}`*0..]->(child:`{category}`)
MATCH (child)-[:`{parent}`]->(parent:`{category}`)
RETURN DISTINCT toString(child.`{category_key}`) AS child, toString(parent.`{category_key}`) AS parent
