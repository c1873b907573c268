"""From what was learned to answers: queries, filters, rankings and their reasons."""
