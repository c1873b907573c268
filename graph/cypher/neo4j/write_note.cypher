MERGE (note:FirstedgeNote {name: $name})
SET note.text = $text
