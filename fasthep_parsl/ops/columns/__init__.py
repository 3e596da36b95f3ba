"""What expressions and ops compute with: flat numpy buffers wherever possible."""
