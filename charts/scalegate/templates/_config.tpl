{{- /* What the chart decides: addresses, mounted files, and the names of its own objects. */ -}}
{{- define "scalegate.config.managed" -}}
listen:
  address: "[::]:8443"
admin:
  address: "[::]:8081"
tls:
  certificate: /etc/scalegate/tls/server.crt
  key: /etc/scalegate/tls/server.key
  clientCas:
    {{- range $at, $ca := include "scalegate.tls.clientCas" . | fromJsonArray }}
    - file: /etc/scalegate/tls/client-ca-{{ $at }}.crt
      trustDomain: {{ $ca.trustDomain | quote }}
      {{- with $ca.identities }}
      identities: {{ . | toJson }}
      {{- end }}
    {{- end }}
  {{- with include "scalegate.tls.crls" . | fromJsonArray }}
  crls:
    {{- range $at, $_ := . }}
    - /etc/scalegate/tls/crl-{{ $at }}.pem
    {{- end }}
  {{- end }}
  {{- if .Values.tls.denied }}
  denied: /etc/scalegate/tls/denied.yaml
  {{- end }}
policies:
  directory: /etc/scalegate/policies
{{- with .Values.namespaces }}
kubernetes:
  namespaces: {{- toYaml . | nindent 4 }}
{{- end }}
{{- with .Values.audit.redact }}
audit:
  redact: {{- toYaml . | nindent 4 }}
  redactKeyFile: /etc/scalegate/audit/redact.key
{{- end }}
lease:
  namespace: {{ .Release.Namespace | quote }}
  name: {{ include "scalegate.fullname" . | quote }}
{{- end -}}

{{- /* scalegate.yaml: what the chart decides, with `config` over it. */ -}}
{{- define "scalegate.config" -}}
{{- $managed := include "scalegate.config.managed" . | fromYaml -}}
{{- mustMergeOverwrite $managed (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{- define "scalegate.leaseName" -}}
{{- dig "lease" "name" "" (include "scalegate.config" . | fromYaml) -}}
{{- end -}}

{{- /* A time such as 30s, 500ms or `1m 30s` in whole seconds, rounded up: a dict of text and field. */ -}}
{{- define "scalegate.seconds" -}}
{{- $text := .text | toString | replace " " "" -}}
{{- if not (regexMatch "^([0-9]+(ms|s|sec|m|min|h|hr))+$" $text) -}}
{{- fail (printf "%s: %q is no time that the chart can read; write it like 30s, 500ms or 1m30s" .field .text) -}}
{{- end -}}
{{- $milliseconds := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" $text -1 -}}
{{- $number := regexFind "[0-9]+" . | int64 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $factor := get (dict "ms" 1 "s" 1000 "sec" 1000 "m" 60000 "min" 60000 "h" 3600000 "hr" 3600000) $unit -}}
{{- $milliseconds = add $milliseconds (mul $number $factor) -}}
{{- end -}}
{{- div (add $milliseconds 999) 1000 -}}
{{- end -}}

{{- /* The seconds that a pod may need to end: preStop, then the drain. After it, writes in flight may take 10 seconds, and audit records and log lines 5 each. */ -}}
{{- define "scalegate.secondsToEnd" -}}
{{- $config := include "scalegate.config" . | fromYaml -}}
{{- $deadline := dig "listen" "drain" "deadline" "30s" $config -}}
{{- $drain := include "scalegate.seconds" (dict "text" $deadline "field" "config.listen.drain.deadline") | int -}}
{{- add .Values.preStopSleepSeconds $drain -}}
{{- end -}}

{{- define "scalegate.terminationGracePeriodSeconds" -}}
{{- $needed := include "scalegate.secondsToEnd" . | int -}}
{{- with .Values.terminationGracePeriodSeconds -}}
{{- if le (int .) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short; preStopSleepSeconds and config.listen.drain.deadline take %d, so give it more than that, or leave it null" (int .) $needed) -}}
{{- end -}}
{{- . -}}
{{- else -}}
{{- add $needed 25 -}}
{{- end -}}
{{- end -}}
