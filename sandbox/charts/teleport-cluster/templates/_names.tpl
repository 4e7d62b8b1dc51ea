{{- /* Every object of a role is made from these values: the root's, with the role's own laid over them. */ -}}
{{- define "cluster.values.auth" -}}
{{- mustMergeOverwrite (omit (deepCopy .Values) "auth" "proxy") (deepCopy .Values.auth) | toYaml -}}
{{- end -}}
{{- define "cluster.values.proxy" -}}
{{- mustMergeOverwrite (omit (deepCopy .Values) "auth" "proxy") (deepCopy .Values.proxy) | toYaml -}}
{{- end -}}

{{- define "cluster.version" -}}
{{- .Values.teleportVersionOverride | default .Chart.AppVersion -}}
{{- end -}}
{{- define "cluster.majorVersion" -}}
{{- (semver (include "cluster.version" .)).Major -}}
{{- end -}}

{{- define "cluster.authService" -}}
{{ .Release.Name }}-auth.{{ .Release.Namespace }}.svc.cluster.local
{{- end -}}
{{- define "cluster.previousAuthService" -}}
{{ .Release.Name }}-auth-v{{ sub (int (include "cluster.majorVersion" .)) 1 }}
{{- end -}}

{{- define "cluster.serviceAccount.auth" -}}
{{- $values := include "cluster.values.auth" . | fromYaml -}}
{{- $values.serviceAccount.name | default .Release.Name -}}
{{- end -}}
{{- define "cluster.serviceAccount.proxy" -}}
{{- $values := include "cluster.values.proxy" . | fromYaml -}}
{{- printf "%s-proxy" ($values.serviceAccount.name | default .Release.Name) -}}
{{- end -}}

{{- /* Selector and labels take (dict "root" $ "role" "auth"); without a role they name the release. */ -}}
{{- define "cluster.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .role }}
app.kubernetes.io/component: {{ . | quote }}
{{- end }}
{{- end -}}
{{- define "cluster.labels" -}}
{{ include "cluster.selector" . }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
app.kubernetes.io/version: {{ include "cluster.version" .root | quote }}
teleport.dev/majorVersion: {{ include "cluster.majorVersion" .root | quote }}
{{- end -}}

{{- define "cluster.image" -}}
{{- printf "%s:%s" (ternary .values.enterpriseImage .values.image .values.enterprise) (include "cluster.version" .root) -}}
{{- end -}}

{{- /* More than one proxy makes sense only where every one serves the same certificate. */ -}}
{{- define "cluster.proxyReplicas" -}}
{{- $values := include "cluster.values.proxy" . | fromYaml -}}
{{- $own := dig "highAvailability" "replicaCount" 0 .Values.proxy | int -}}
{{- if not $values.tls.existingSecretName -}}
1
{{- else if $own -}}
{{ $own }}
{{- else -}}
{{ max 2 (int $values.highAvailability.replicaCount) }}
{{- end -}}
{{- end -}}

{{- define "cluster.hookAnnotations" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- /* What the published chart offers and this one does not: said, never dropped in silence. */ -}}
{{- define "cluster.refusals" -}}
{{- if not (or .Values.clusterName (eq .Values.chartMode "scratch")) -}}
{{- fail "clusterName: required; set the name of the Teleport cluster" -}}
{{- end -}}
{{- if not (has .Values.chartMode (list "standalone" "aws" "gcp" "azure" "scratch")) -}}
{{- fail (printf "chartMode: %q is none of standalone, aws, gcp, azure, scratch" .Values.chartMode) -}}
{{- end -}}
{{- range $key := list "ingress" "operator" "podMonitor" -}}
{{- if (index $.Values $key).enabled -}}
{{- fail (printf "%s.enabled: not rendered by this chart; use the published teleport-cluster chart for it" $key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.highAvailability.certManager.enabled -}}
{{- fail "highAvailability.certManager.enabled: not rendered by this chart; use tls.existingSecretName" -}}
{{- end -}}
{{- end -}}
