"""From what can be learned to what was learned: the net, closed forms, fusion, bundle."""
