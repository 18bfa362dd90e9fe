"""Sends every host to the benchmark's upstream, passes event streams on as they come, and says when it listens."""

import json
import os

from mitmproxy import ctx

TOLD = os.environ["HUDSON_BENCH_TOLD"]
READY = os.environ["HUDSON_BENCH_READY"]

with open(TOLD) as file:
    HOSTS = json.load(file)["hosts"]


def http_connect(flow):
    # The tunnel's address only: the name in TLS and in the request stays what the client asked for.
    host, port = HOSTS[flow.request.host].rsplit(":", 1)
    flow.request.host, flow.request.port = host, int(port)


def responseheaders(flow):
    if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
        flow.response.stream = True


def running():
    host, port = ctx.master.addons.get("proxyserver").listen_addrs()[0][:2]
    with open(READY + ".partial", "w") as file:
        json.dump({"address": f"{host}:{port}", "ca_file": ctx.options.confdir + "/mitmproxy-ca-cert.pem"}, file)
    os.rename(READY + ".partial", READY)
