"""Sites: YAML profiles that describe how workers are created on a cluster."""

from fasthep_parsl.site_search import PATH_VARIABLE, list_sites, search_path
from fasthep_parsl.sites.loading import load_site
from fasthep_parsl.sites.model import Requirement, Site, SiteFile, SiteMeta
from fasthep_parsl.sites.options import is_batch, strategy_options
from fasthep_parsl.sites.requirements import missing_requirements

__all__ = [
    "PATH_VARIABLE",
    "Requirement",
    "Site",
    "SiteFile",
    "SiteMeta",
    "is_batch",
    "list_sites",
    "load_site",
    "missing_requirements",
    "search_path",
    "strategy_options",
]
