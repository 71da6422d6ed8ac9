package scalegate

# A policy reaches no network, so the gateway refuses this one.
verdict := http.send({"method": "get", "url": "http://rules.internal"}).body
