"""The ancestor's `request_confirmation`, against Hudson: blocks until a person has decided, and says whether they said yes.

confirmation.py URL ACTION DESCRIPTION [TIMEOUT]: prints `True` or `False`, and the milliseconds since the epoch.
The bottle's credentials are in CONFIRMATION_CREDENTIALS as RUN:PASSWORD. Nobody there, or any error, is False.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request


def request_confirmation(url, action, description, payload=None, risk_level=None, timeout=300):
    """Blocks until it is decided or the time is over; True only where a person, or the policy, has said yes."""
    credentials = os.environ.get("CONFIRMATION_CREDENTIALS", "")
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Basic " + base64.b64encode(credentials.encode()).decode(),
    }
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = {"action": action, "description": description, "payload": payload or {}, "timeout": timeout, "wait": True}
    if risk_level:
        body["risk_level"] = risk_level
    deadline = time.monotonic() + timeout
    try:
        request = urllib.request.Request(url + "/confirm", json.dumps(body).encode(), headers)
        answer = json.load(opener.open(request, timeout=timeout + 10))
        # The service holds a request for a while only; what is still open is asked about again.
        while answer["status"] == "pending" and time.monotonic() < deadline:
            wait = max(1, min(50, int(deadline - time.monotonic())))
            status = f"{url}/confirm/{answer['request_id']}?wait={wait}"
            request = urllib.request.Request(status, headers=headers)
            answer = json.load(opener.open(request, timeout=wait + 10))
    except (OSError, ValueError, KeyError):
        return False
    return answer["status"] in ("approved", "auto_approved")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    timeout = float(arguments[3]) if len(arguments) > 3 else 300
    approved = request_confirmation(arguments[0], arguments[1], arguments[2], timeout=timeout)
    print(approved, int(time.time() * 1000))
