"""HTTP client of the service, for scripts, the command line and the page."""
