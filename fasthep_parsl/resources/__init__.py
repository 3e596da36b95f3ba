"""Resources of workers, with units; and those of this machine."""
