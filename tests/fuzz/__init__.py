"""The campaign behind the promises of the command line: kills, faults, edits, damaged files, hostile repositories.

    uv run python -m tests.fuzz                        # every part, two minutes each
    uv run python -m tests.fuzz faults --seconds 600   # one part; --seed repeats a campaign, --round one round of it
    uv run python -m tests.fuzz kills --every          # every part takes --seconds, this one takes what it needs

It is not part of the test suite: it runs for as long as it is asked to. Each part prints how many of its rounds
survived and, for each that failed, what failed and the words that repeat it. The exit code is 1 where a round failed.
`kills` uses ptrace, so it needs Linux on x86-64 or arm64; it installs nothing.
"""
