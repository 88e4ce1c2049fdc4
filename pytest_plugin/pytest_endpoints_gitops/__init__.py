"""The pytest plugin of endpoints-gitops.

pytest imports this module at every start, used or not, so it imports nothing itself: the library is loaded by the
first fixture that needs it. The fixtures arrive with the lock file (see CHANGELOG.md); until then the plugin registers
and does nothing.
"""
