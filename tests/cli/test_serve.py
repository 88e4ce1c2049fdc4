from __future__ import annotations

import json
import subprocess
import sys

import httpx
import pytest


@pytest.mark.parametrize("name", ["http://posthog.test", "posthog.test:8000", "", "a b"])
def test_what_is_no_host_name_is_refused(cli, name):
    ran = cli("serve", "--host-name", name)
    assert ran.code == 2
    assert f"{name!r} is not the name of a host: write it without http:// and port" in ran.err


@pytest.mark.slow
def test_requests_under_another_name_are_answered():
    program = "import sys; from endpoints_gitops.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "serve", "--host-name", "PostHog.test"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            said = json.loads(serving.stdout.readline())
            answers = {
                name: httpx.get(
                    f"{said['url']}/api/projects/1/endpoints/",
                    headers={"Host": name, "Authorization": f"Bearer {said['key']}"},
                ).status_code
                for name in ("posthog.test", "other.test")
            }
        finally:
            serving.terminate()
    assert answers == {"posthog.test": 200, "other.test": 403}
