"""`python -m endpoints_gitops`: the same as the command `endpoints-gitops`."""

from endpoints_gitops.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
