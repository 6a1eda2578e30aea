"""Pages of the site, one file per kind."""
