"""The numbered facts about PostHog's server, as data, and their walk over the local server."""
