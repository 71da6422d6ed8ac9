{{- /* The chart's name, or nameOverride. */ -}}
{{- define "scalegate.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{- /* The release's name with the chart's, once, or fullnameOverride: as a Service may be named, with a letter first and
without dots, whatever the release is called. At most 50 characters, so that suffixes fit into 63. */ -}}
{{- define "scalegate.fullname" -}}
{{- $name := include "scalegate.name" . -}}
{{- $full := .Release.Name | replace "." "-" -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride -}}
{{- else if regexMatch "^[0-9]" $full -}}
{{- $full = printf "%s-%s" $name $full -}}
{{- else if not (contains $name $full) -}}
{{- $full = printf "%s-%s" $full $name -}}
{{- end -}}
{{- regexReplaceAll "-+$" (trunc 50 $full) "" -}}
{{- end -}}

{{- /* The name of what belongs to the cluster: two releases of one name live in different namespaces. */ -}}
{{- define "scalegate.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "scalegate.fullname" .) -}}
{{- end -}}

{{- /* Labels that never change, for selectors: a dict of root and component. Values that look like numbers stay text. */ -}}
{{- define "scalegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "scalegate.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{- /* The image's tag as the value of a label: 63 characters at most, letters and digits at both ends. */ -}}
{{- define "scalegate.version" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion | trunc 63 -}}
{{- regexReplaceAll "^[^A-Za-z0-9]+|[^A-Za-z0-9]+$" $tag "" -}}
{{- end -}}

{{- /* All labels: a dict of root, component and, with labels of this object alone, more. Each key comes once. */ -}}
{{- define "scalegate.labels" -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" -}}
{{- $own := dict
      "app.kubernetes.io/version" (include "scalegate.version" .root)
      "app.kubernetes.io/managed-by" .root.Release.Service
      "app.kubernetes.io/part-of" "scalegate"
      "helm.sh/chart" (regexReplaceAll "[^A-Za-z0-9]+$" (trunc 63 $chart) "")
-}}
{{- $selector := include "scalegate.selectorLabels" . | fromYaml -}}
{{- merge $selector (default dict .more | deepCopy) (default dict .root.Values.commonLabels | deepCopy) $own | toYaml -}}
{{- end -}}

{{- define "scalegate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "scalegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* repository:tag, or repository@digest, or both. */ -}}
{{- define "scalegate.image" -}}
{{- $image := .Values.image -}}
{{- if and $image.digest (not $image.tag) -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* The names under which clients reach the Service: a JSON list. */ -}}
{{- define "scalegate.serviceNames" -}}
{{- $name := include "scalegate.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- list
      $name
      (printf "%s.%s" $name $namespace)
      (printf "%s.%s.svc" $name $namespace)
      (printf "%s.%s.svc.%s" $name $namespace .Values.clusterDomain)
    | toJson -}}
{{- end -}}

{{- /* The settings of every container: the restricted pod security standard, and a root file system that nobody writes. */ -}}
{{- define "scalegate.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* fsGroup lets the account read keys that are not for everybody. */ -}}
{{- define "scalegate.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}
