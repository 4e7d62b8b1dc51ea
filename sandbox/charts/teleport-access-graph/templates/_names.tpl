{{- define "access-graph.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* A release whose name already says what it is keeps its bare name. */ -}}
{{- define "access-graph.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "access-graph.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "access-graph.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "access-graph.selector" -}}
app.kubernetes.io/name: {{ include "access-graph.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "access-graph.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "access-graph.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* The service's own configuration, one document. */ -}}
{{- define "access-graph.config" -}}
{{- $v := .Values -}}
{{- $config := dict
    "address" ":9090"
    "metrics" (dict "enabled" $v.metrics.enabled "pprof" $v.metrics.pprof)
    "tls" (dict "cert" "/var/run/tls/tls.crt" "key" "/var/run/tls/tls.key")
    "log" (dict "level" $v.log.level)
    "registration_cas" (list "/var/run/config/registration_cas.pem") -}}
{{- $postgres := dict -}}
{{- if $v.postgres.aws.enabled -}}
{{- $aws := dict -}}
{{- with $v.postgres.aws.region }}{{ $_ := set $aws "region" . }}{{ end -}}
{{- $_ := set $postgres "aws" $aws -}}
{{- end -}}
{{- if $v.postgres.azure.enabled -}}
{{- $azure := dict -}}
{{- with $v.postgres.azure.tenantId }}{{ $_ := set $azure "tenant_id" . }}{{ end -}}
{{- $_ := set $postgres "azure" $azure -}}
{{- end -}}
{{- with $v.postgres.connection_parameters }}{{ $_ := set $postgres "connection_parameters" . }}{{ end -}}
{{- with $v.postgres.replica.connection_parameters -}}
{{- $_ := set $postgres "replica" (dict "connection_parameters" .) -}}
{{- end -}}
{{- with $postgres }}{{ $_ := set $config "backend" (dict "postgres" .) }}{{ end -}}
{{- if $v.identityActivityCenter.enabled -}}
{{- $_ := set $config "identity_activity_center" $v.identityActivityCenter -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "access-graph.registrationCAs" -}}
{{- range .Values.clusterHostCAs }}
{{ . | trim }}
{{- end }}
{{- end -}}

{{- /* One database connection variable: from a Secret, or (as the published chart allows) in plain. */ -}}
{{- define "access-graph.connection" -}}
- name: {{ .variable }}
{{- if .from.connectionString }}
  value: {{ .from.connectionString | quote }}
{{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ .from.secretName }}
      key: {{ .from.secretKey }}
{{- end }}
{{- end -}}
