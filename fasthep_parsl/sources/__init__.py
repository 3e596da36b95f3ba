"""Input formats: read headers, open files, read columns of an entry range."""
