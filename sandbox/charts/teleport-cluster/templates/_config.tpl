{{- /* teleport.yaml of each role, before `teleportConfig` is merged over it. */ -}}

{{- define "cluster.config.log" -}}
{{- $log := .log -}}
severity: {{ $log.level }}
output: {{ $log.output }}
format:
  output: {{ $log.format }}
  extra_fields: {{ toJson $log.extraFields }}
{{- end -}}

{{- define "cluster.config.storage" -}}
{{- if eq .chartMode "aws" }}
type: dynamodb
region: {{ .aws.region }}
table_name: {{ .aws.backendTable }}
audit_events_uri: ["dynamodb://{{ .aws.auditLogTable }}"]
audit_sessions_uri: s3://{{ .aws.sessionRecordingBucket }}
continuous_backups: {{ .aws.backups | default false }}
{{- else if eq .chartMode "gcp" }}
type: firestore
project_id: {{ .gcp.projectId }}
collection_name: {{ .gcp.backendTable }}
audit_events_uri: ["firestore://{{ .gcp.auditLogTable }}?projectID={{ .gcp.projectId }}"]
audit_sessions_uri: gs://{{ .gcp.sessionRecordingBucket }}?projectID={{ .gcp.projectId }}
{{- else if eq .chartMode "azure" }}
type: postgresql
auth_mode: azure
conn_string: postgresql://{{ .azure.databaseUser }}@{{ .azure.databaseHost }}/{{ .azure.backendDatabase }}?sslmode=verify-full
audit_sessions_uri: azblob://{{ .azure.sessionRecordingStorageAccount }}
{{- end }}
{{- end -}}

{{- define "cluster.config.auth" -}}
{{- $values := include "cluster.values.auth" . | fromYaml -}}
{{- $kubernetes := $values.kubeClusterName | default $values.clusterName -}}
version: v3
teleport:
  auth_server: 127.0.0.1:3025
  log: {{- include "cluster.config.log" $values | nindent 4 }}
  {{- with include "cluster.config.storage" $values | trim }}
  storage: {{- . | nindent 4 }}
  {{- end }}
ssh_service: {enabled: false}
proxy_service: {enabled: false}
auth_service:
  enabled: true
  {{- if ne $values.chartMode "scratch" }}
  cluster_name: {{ $values.clusterName }}
  {{- if $values.enterprise }}
  license_file: /var/lib/license/license.pem
  {{- end }}
  proxy_listener_mode: {{ $values.proxyListenerMode }}
  {{- with $values.sessionRecording }}
  session_recording: {{ . | quote }}
  {{- end }}
  authentication:
    type: {{ $values.authentication.type }}
    local_auth: {{ $values.authentication.localAuth }}
    {{- with $values.authentication.connectorName }}
    connector_name: {{ . | quote }}
    {{- end }}
    {{- with $values.authentication.lockingMode }}
    locking_mode: {{ . }}
    {{- end }}
    second_factors: {{ toJson $values.authentication.secondFactors }}
    webauthn: {{ toJson (mustMerge (dict "rp_id" $values.clusterName) $values.authentication.webauthn) }}
  {{- end }}
{{- if ne $values.chartMode "scratch" }}
kubernetes_service:
  enabled: true
  listen_addr: 0.0.0.0:3026
  public_addr: {{ include "cluster.authService" . }}:3026
  kube_cluster_name: {{ $kubernetes }}
{{- end }}
{{- end -}}

{{- define "cluster.config.proxy" -}}
{{- $values := include "cluster.values.proxy" . | fromYaml -}}
version: v3
teleport:
  auth_server: {{ include "cluster.authService" . }}:3025
  join_params: {method: kubernetes, token_name: {{ .Release.Name }}-proxy}
  log: {{- include "cluster.config.log" $values | nindent 4 }}
ssh_service: {enabled: false}
auth_service: {enabled: false}
proxy_service:
  enabled: true
  {{- if ne $values.chartMode "scratch" }}
  {{- if eq $values.proxyListenerMode "separate" }}
  listen_addr: 0.0.0.0:3023
  tunnel_listen_addr: 0.0.0.0:3024
  kube_listen_addr: 0.0.0.0:3026
  mysql_listen_addr: 0.0.0.0:3036
  {{- end }}
  {{- if $values.publicAddr }}
  public_addr: {{ toJson $values.publicAddr }}
  {{- else }}
  public_addr: {{ printf "%s:443" $values.clusterName }}
  {{- end }}
  {{- if $values.tls.existingSecretName }}
  https_keypairs: [{key_file: /etc/teleport-tls/tls.key, cert_file: /etc/teleport-tls/tls.crt}]
  https_keypairs_reload_interval: 12h
  {{- end }}
  {{- end }}
{{- end -}}

{{- /* The finished document of a role: (dict "root" $ "role" "auth"). */ -}}
{{- define "cluster.config" -}}
{{- $values := include (printf "cluster.values.%s" .role) .root | fromYaml -}}
{{- $config := include (printf "cluster.config.%s" .role) .root | fromYaml -}}
{{- if hasKey $config "Error" }}{{ fail (printf "teleport.yaml of %s: %s" .role $config.Error) }}{{ end -}}
{{- mustMergeOverwrite $config $values.teleportConfig | toYaml -}}
{{- end -}}

{{- /* How the proxies join: by their service account's token. */ -}}
{{- define "cluster.joinToken" -}}
kind: token
version: v2
metadata:
  name: {{ .Release.Name }}-proxy
  expires: "2050-01-01T00:00:00Z"
spec:
  roles: [Proxy]
  join_method: kubernetes
  kubernetes:
    allow:
      - service_account: "{{ .Release.Namespace }}:{{ include "cluster.serviceAccount.proxy" . }}"
{{- end -}}

{{- /* A role's ConfigMap data, the same for the Deployment and for the hook that tries it first. */ -}}
{{- define "cluster.configData" -}}
{{- if eq .role "auth" }}
apply-on-startup.yaml: |
  {{- include "cluster.joinToken" .root | nindent 2 }}
{{- end }}
teleport.yaml: |
  {{- include "cluster.config" . | nindent 2 }}
{{- end -}}
