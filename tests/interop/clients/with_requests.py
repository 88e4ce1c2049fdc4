"""Two calls with a session of requests."""

import sys
import time

import requests

url, key, seconds = sys.argv[1:]
with requests.Session() as session:
    session.trust_env = False  # no proxy of the environment
    session.headers["Authorization"] = f"Bearer {key}"
    first = session.get(url, timeout=30).status_code
    time.sleep(float(seconds))
    second = session.get(url, timeout=30).status_code
sys.stdout.write(f"{first} {second}\n")
