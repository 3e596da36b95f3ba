"""Credentials: proxies and tokens for workers."""
