"""The local server: PostHog's endpoints API on this machine, for `serve`, the demo and tests (extra `local`).

Start it with `serve.running_server` (a thread) or `serve.serve` (this process). `app` turns requests into calls of the
functions in `routes`; `store` keeps state; `engine` runs HogQL.
"""
