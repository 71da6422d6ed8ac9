#!/bin/sh
# Starts the stand-in as the distribution's script of this name starts Elasticsearch.
home=/usr/share/elasticsearch
# shellcheck disable=SC2086  # options, one a word
exec "$home/jdk/bin/java" $ES_JAVA_OPTS -Des.path.home=$home -Des.path.conf=$home/config -cp "$home/lib/*" \
    org.elasticsearch.xpack.standin.Server
