{{- /* Kubernetes reserves names that begin with system-, as those of namespaces may. */ -}}
{{- define "scalegate.priorityClassName" -}}
{{- $class := .Values.priorityClass -}}
{{- if $class.create -}}
{{- $own := include "scalegate.clusterName" . -}}
{{- default (hasPrefix "system-" $own | ternary (printf "scalegate-%s" $own) $own) $class.name -}}
{{- else -}}
{{- $class.name -}}
{{- end -}}
{{- end -}}

{{- /* Each constraint with a selector of the gateway's pods, of one revision, unless it brings its own. */ -}}
{{- define "scalegate.topologySpreadConstraints" -}}
{{- $labels := include "scalegate.selectorLabels" (dict "root" . "component" "gateway") | fromYaml -}}
{{- $constraints := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- if hasKey . "labelSelector" -}}
{{- $constraints = append $constraints . -}}
{{- else -}}
{{- $own := dict "labelSelector" (dict "matchLabels" $labels) "matchLabelKeys" (list "pod-template-hash") -}}
{{- $constraints = append $constraints (merge (deepCopy .) $own) -}}
{{- end -}}
{{- end -}}
{{- if $constraints -}}
{{- toYaml $constraints -}}
{{- end -}}
{{- end -}}

{{- /* The ConfigMap that the chart makes of policies.manifest, policies.modules and policies.data. */ -}}
{{- define "scalegate.policies.name" -}}
{{- printf "%s-policies" (include "scalegate.fullname" .) -}}
{{- end -}}

{{- /* The sources of the volume with the policies; of two files of one name, the chart's own wins. */ -}}
{{- define "scalegate.policies.sources" -}}
{{- $sources := list -}}
{{- with .Values.policies.existingConfigMap -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .)) -}}
{{- end -}}
{{- if or .Values.policies.manifest .Values.policies.modules .Values.policies.data -}}
{{- $sources = append $sources (dict "configMap" (dict "name" (include "scalegate.policies.name" .))) -}}
{{- end -}}
{{- toYaml $sources -}}
{{- end -}}
