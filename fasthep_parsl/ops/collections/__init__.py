"""Collections of objects, such as muons and jets: select, sort, merge and combine them."""
