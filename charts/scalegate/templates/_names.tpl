{{- /* The chart's name, or nameOverride. */ -}}
{{- define "scalegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's name with the chart's, once. At most 50 characters, so that suffixes fit into 63. */ -}}
{{- define "scalegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "scalegate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The name of what belongs to the cluster: two releases of one name live in different namespaces. */ -}}
{{- define "scalegate.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "scalegate.fullname" .) -}}
{{- end -}}

{{- /* Labels that never change, for selectors: a dict of root and component. */ -}}
{{- define "scalegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "scalegate.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* All labels: a dict of root and component. */ -}}
{{- define "scalegate.labels" -}}
{{ include "scalegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: scalegate
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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
