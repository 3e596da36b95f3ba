"""Collections of objects: flat fields seen as lists, combinations of them, and their kinematics."""
