"""The site: pages, the server, and the export."""
