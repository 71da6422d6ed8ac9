{{- /* What the schema cannot say: each mistake with the value to change. */ -}}
{{- define "scalegate.checks" -}}
{{- include "scalegate.checks.names" . -}}
{{- include "scalegate.checks.audit" . -}}
{{- include "scalegate.checks.tls" . -}}
{{- include "scalegate.checks.policies" . -}}
{{- include "scalegate.checks.config" . -}}
{{- if and .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name: without it, the namespace's account \"default\", which any pod there may have, would get the gateway's rights; name an account, or set serviceAccount.create" -}}
{{- end -}}
{{- end -}}

{{- define "scalegate.checks.names" -}}
{{- $selector := include "scalegate.selectorLabels" (dict "root" . "component" "gateway") | fromYaml -}}
{{- range $field, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $key, $_ := $labels -}}
{{- if hasKey $selector $key -}}
{{- fail (printf "%s: the label %s is what selectors find the pods by; nameOverride and the release's name change it" $field $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $class := .Values.priorityClass -}}
{{- if and $class.create (hasPrefix "system-" $class.name) -}}
{{- fail (printf "priorityClass.name: Kubernetes reserves %q, like all names that begin with system-; choose another, or set priorityClass.create to false to use it" $class.name) -}}
{{- end -}}
{{- end -}}

{{- define "scalegate.checks.audit" -}}
{{- if and .Values.audit.redact (not .Values.audit.redactKey.secretName) -}}
{{- fail "audit.redactKey.secretName: name the Secret with the key of the hashes that audit.redact asks for" -}}
{{- end -}}
{{- end -}}

{{- define "scalegate.checks.tls" -}}
{{- $tls := .Values.tls -}}
{{- $sources := list -}}
{{- if $tls.server.secretName }}{{ $sources = append $sources "tls.server.secretName" }}{{ end -}}
{{- if $tls.certManager.enabled }}{{ $sources = append $sources "tls.certManager.enabled" }}{{ end -}}
{{- if $tls.development.enabled }}{{ $sources = append $sources "tls.development.enabled" }}{{ end -}}
{{- if not $sources -}}
{{- fail "tls: the gateway has no server certificate; set tls.server.secretName to an existing Secret, or tls.certManager.enabled, or, never in production, tls.development.enabled" -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- fail (printf "tls: the server certificate has %d sources, %s; keep one of them" (len $sources) (join " and " $sources)) -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not $tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name: name the Issuer or ClusterIssuer that is to sign the server's certificate" -}}
{{- end -}}
{{- if not (include "scalegate.tls.clientCas" . | fromJsonArray) -}}
{{- fail "tls.clientCas: no client could connect; name at least one CA, as {secretName or configMapName, key, trustDomain}" -}}
{{- end -}}
{{- range $field, $files := dict "clientCas" $tls.clientCas "crls" $tls.crls -}}
{{- range $at, $file := $files -}}
{{- if eq (empty $file.secretName) (empty $file.configMapName) -}}
{{- fail (printf "tls.%s[%d]: set either secretName or configMapName" $field $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $tls.denied -}}
{{- if eq (empty .secretName) (empty .configMapName) -}}
{{- fail "tls.denied: set either secretName or configMapName" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "scalegate.checks.policies" -}}
{{- $policies := .Values.policies -}}
{{- if not $policies.existingConfigMap -}}
{{- if not $policies.manifest -}}
{{- fail "policies: the gateway would refuse everything; set policies.existingConfigMap to a ConfigMap with policies.yaml and its modules, or set policies.manifest and policies.modules" -}}
{{- end -}}
{{- range $policies.manifest.modules -}}
{{- if not (hasKey $policies.modules .module) -}}
{{- fail (printf "policies.modules: the module %q of policies.manifest is not there; add it, in base64, or set policies.existingConfigMap" .module) -}}
{{- end -}}
{{- if and .data (not (hasKey $policies.data .data)) -}}
{{- fail (printf "policies.data: the file %q of policies.manifest is not there; add it, as text, or set policies.existingConfigMap" .data) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $own := include "scalegate.policies.name" . -}}
{{- if and (eq $policies.existingConfigMap $own) (or $policies.manifest $policies.modules $policies.data) -}}
{{- fail (printf "policies.existingConfigMap: the chart makes the ConfigMap %s itself, of policies.manifest, policies.modules and policies.data; give yours another name" $own) -}}
{{- end -}}
{{- range dig "modules" list $policies.manifest -}}
{{- $encoded := get $policies.modules .module -}}
{{- if $encoded -}}
{{- $digest := $encoded | b64dec | sha256sum -}}
{{- if ne $digest (lower (toString .sha256)) -}}
{{- fail (printf "policies.manifest: %s has the sha256 %s, not %s" .module $digest .sha256) -}}
{{- end -}}
{{- end -}}
{{- if and .data (hasKey $policies.data .data) -}}
{{- $digest := get $policies.data .data | sha256sum -}}
{{- if ne $digest (lower (toString .dataSha256)) -}}
{{- fail (printf "policies.manifest: %s has the sha256 %s, not %s" .data $digest (toString .dataSha256)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $file, $_ := $policies.modules -}}
{{- if or (hasKey $policies.data $file) (and $policies.manifest (eq $file "policies.yaml")) -}}
{{- fail (printf "policies.modules: %q is also a file of policies.data or policies.manifest; give the module another name" $file) -}}
{{- end -}}
{{- end -}}
{{- if not $policies.existingConfigMap -}}
{{- range $file, $_ := $policies.data -}}
{{- $named := false -}}
{{- range dig "modules" list $policies.manifest -}}
{{- if eq $file (default "" .data) -}}{{- $named = true -}}{{- end -}}
{{- end -}}
{{- if not $named -}}
{{- fail (printf "policies.data: no module of policies.manifest names %q, so the gateway would refuse the set; give the one that reads it data and dataSha256" $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "scalegate.checks.config" -}}
{{- $config := .Values.config -}}
{{- range $path, $instead := dict
      "tls.certificate" "tls.server, tls.certManager or tls.development"
      "tls.key" "tls.server, tls.certManager or tls.development"
      "tls.clientCas" "tls.clientCas"
      "tls.crls" "tls.crls"
      "tls.denied" "tls.denied"
      "policies.directory" "policies.existingConfigMap or policies.modules"
      "kubernetes.namespaces" "namespaces"
      "lease.namespace" "helm's --namespace"
-}}
{{- $section := get $config (splitList "." $path | first) -}}
{{- if and $section (hasKey $section (splitList "." $path | last)) -}}
{{- fail (printf "config.%s: the chart decides this one; set %s instead" $path $instead) -}}
{{- end -}}
{{- end -}}
{{- range $section, $port := dict "listen" "8443" "admin" "8081" -}}
{{- with dig $section "address" "" $config -}}
{{- if not (hasSuffix (printf ":%s" $port) .) -}}
{{- fail (printf "config.%s.address: %q must end in :%s, which the Service, the probes and the NetworkPolicy name" $section . $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
