"""Blocks without Parsl: when to submit them, their scripts, their states, and what runs on their nodes first."""
