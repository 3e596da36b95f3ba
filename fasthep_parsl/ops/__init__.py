"""Operations of the ``hep.*`` family; each is a function with the decorator ``@op``."""
