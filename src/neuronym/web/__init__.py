"""The site: pages over atlases, on a server or as files."""
