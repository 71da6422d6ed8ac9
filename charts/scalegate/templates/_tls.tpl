{{- /* The Secret with the server's certificate, wherever it comes from. */ -}}
{{- define "scalegate.tls.secretName" -}}
{{- if .Values.tls.development.enabled -}}
{{- printf "%s-tls" (include "scalegate.fullname" .) -}}
{{- else if .Values.tls.certManager.enabled -}}
{{- default (printf "%s-server" (include "scalegate.fullname" .)) .Values.tls.certManager.secretName -}}
{{- else -}}
{{- .Values.tls.server.secretName -}}
{{- end -}}
{{- end -}}

{{- /* The CAs of clients, the development one first: a JSON list. */ -}}
{{- define "scalegate.tls.clientCas" -}}
{{- $cas := list -}}
{{- with .Values.tls.development }}
{{- if .enabled }}
{{- $secret := include "scalegate.tls.secretName" $ -}}
{{- $cas = append $cas (dict "secretName" $secret "key" "ca.crt" "trustDomain" .trustDomain) -}}
{{- end }}
{{- end }}
{{- concat $cas .Values.tls.clientCas | toJson -}}
{{- end -}}

{{- /* The revocation lists, the development one first: a JSON list. */ -}}
{{- define "scalegate.tls.crls" -}}
{{- $crls := list -}}
{{- if .Values.tls.development.enabled -}}
{{- $crls = append $crls (dict "secretName" (include "scalegate.tls.secretName" .) "key" "crl.pem") -}}
{{- end -}}
{{- concat $crls .Values.tls.crls | toJson -}}
{{- end -}}

{{- /* One key of a Secret or ConfigMap as a file of a projected volume: a dict of from, key and path. */ -}}
{{- define "scalegate.tls.source" -}}
{{- $items := list (dict "key" (.from.key | default .key) "path" .path) -}}
{{- if .from.configMapName -}}
- configMap:
    name: {{ .from.configMapName | quote }}
    items: {{- toYaml $items | nindent 6 }}
{{- else -}}
- secret:
    name: {{ .from.secretName | quote }}
    items: {{- toYaml $items | nindent 6 }}
{{- end -}}
{{- end -}}

{{- /* The sources of the volume with all certificates. One volume, so that the kubelet swaps all files at once. */ -}}
{{- define "scalegate.tls.sources" -}}
{{- $server := .Values.tls.server -}}
{{- $keys := ternary (list $server.certificateKey $server.privateKeyKey) (list "tls.crt" "tls.key") (ne $server.secretName "") -}}
- secret:
    name: {{ include "scalegate.tls.secretName" . | quote }}
    items:
      - key: {{ index $keys 0 | quote }}
        path: server.crt
      - key: {{ index $keys 1 | quote }}
        path: server.key
{{- range $at, $ca := include "scalegate.tls.clientCas" . | fromJsonArray }}
{{ include "scalegate.tls.source" (dict "from" $ca "key" "ca.crt" "path" (printf "client-ca-%d.crt" $at)) }}
{{- end }}
{{- range $at, $crl := include "scalegate.tls.crls" . | fromJsonArray }}
{{ include "scalegate.tls.source" (dict "from" $crl "key" "crl.pem" "path" (printf "crl-%d.pem" $at)) }}
{{- end }}
{{- with .Values.tls.denied }}
{{ include "scalegate.tls.source" (dict "from" . "key" "denied.yaml" "path" "denied.yaml") }}
{{- end }}
{{- end -}}
