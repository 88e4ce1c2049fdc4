"""PostHog Endpoints as code: definitions in git, plans, and pushes that overwrite nobody."""

__version__ = "0.1.0"
