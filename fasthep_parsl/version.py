"""Version of this package. Modules import it from here, so that none of them imports the package itself."""

__version__ = "0.1.0"
