"""Environments of pixi projects: the project and its lock file, pixi-pack's packs, and their installation."""
