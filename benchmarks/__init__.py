"""The numbers of docs/numbers.md, printed by one command: `uv run python -m benchmarks [NAME…]`.

Limits and peers are measured in one run and told as ratios. Nothing here is a test, but the exit code says whether each
limit holds.
"""
