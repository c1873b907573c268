"""From what is known to what can be learned: importers, text features, snapshots, splits."""
