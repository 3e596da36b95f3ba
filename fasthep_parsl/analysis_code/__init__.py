"""Analysis code: find it, hash it, import it on the submit side and on workers."""
