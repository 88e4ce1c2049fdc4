"""The routes, one file for each part of the API, and the table of all routes."""
