"""Facts about PostHog's server as data, and code that checks them on a server: a project of yours, or the local
server."""
