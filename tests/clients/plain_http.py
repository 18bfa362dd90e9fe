"""GET a URL with a plain Python HTTP library: plain_http.py requests|httpx|urllib URL. Prints the body as it came."""

import sys

library, url = sys.argv[1:3]
if library == "requests":
    import requests

    body = requests.get(url, timeout=30).content
elif library == "httpx":
    import httpx

    body = httpx.get(url, timeout=30).content
else:
    import urllib.request

    body = urllib.request.urlopen(url, timeout=30).read()
sys.stdout.buffer.write(body)
