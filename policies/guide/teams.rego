package scalegate

default verdict := {"allow": false, "reasons": ["the teams of data.json decide about their own namespaces alone"]}

verdict := {"allow": true, "reasons": []} if data.teams[input.target.namespace].group in input.client.groups
