"""Credentials: proxies and tokens for workers. No kind is built in yet."""
