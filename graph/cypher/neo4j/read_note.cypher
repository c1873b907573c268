MATCH (note:FirstedgeNote {name: $name})
RETURN note.text AS text
