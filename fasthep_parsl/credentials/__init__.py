"""Proxies and tokens for workers. None is built in yet."""
