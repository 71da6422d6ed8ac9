#!/usr/bin/env bash
# provision.sh elasticsearch|kibana: gives Elasticsearch its users and the index template, or Kibana its data view, saved
# searches and dashboard. Running it again changes nothing.
#
#   KIBANA_PASSWORD            the password of `elastic`, with which people log in
#   KIBANA_SYSTEM_PASSWORD     what Kibana shall have, and
#   FILEBEAT_PASSWORD          what Filebeat shall have
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Each gets what it needs, and Filebeat can write lines and read none.
users() {
    "$here/../elasticsearch.sh" POST _security/user/kibana_system/_password "{\"password\":\"$KIBANA_SYSTEM_PASSWORD\"}"
    "$here/../elasticsearch.sh" PUT _security/role/filebeat '{
        "cluster": ["monitor"],
        "indices": [{"names": ["machine-*"], "privileges": ["auto_configure", "create_doc"]}]
    }'
    "$here/../elasticsearch.sh" PUT _security/user/filebeat "{\"password\":\"$FILEBEAT_PASSWORD\",\"roles\":[\"filebeat\"]}"
}

template() { "$here/../elasticsearch.sh" PUT _index_template/machine "@$here/template.json"; }

saved_objects() {
    curl --silent --show-error --fail-with-body --max-time 60 --header 'kbn-xsrf: provision' \
        --config <(printf 'user = "elastic:%s"\n' "$KIBANA_PASSWORD") \
        --form "file=@$here/saved-objects.ndjson;type=application/ndjson" \
        "http://fly-local-6pn:5601/api/saved_objects/_import?overwrite=true" |
        jq --exit-status 'if .success then "provision: Kibana has \(.successCount) saved objects" else error(tostring) end'
}

case "${1:-}" in
elasticsearch)
    users >/dev/null
    template >/dev/null
    ;;
kibana) saved_objects ;;
*)
    echo "usage: provision.sh elasticsearch|kibana" >&2
    exit 2
    ;;
esac
