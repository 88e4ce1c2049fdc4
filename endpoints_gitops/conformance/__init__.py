"""Facts about PostHog's server as data, and trying them on a server: a project of yours, or the local server."""
