"""Collections of objects: flat fields seen as lists, and combinations of them."""
