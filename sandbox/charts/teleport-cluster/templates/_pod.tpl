{{- /* The parts of a pod that both roles share: (dict "root" $ "role" "auth" "values" $values). */ -}}

{{- define "cluster.pod.mounts" -}}
{{- if and (eq .role "auth") .values.enterprise }}
- {name: license, mountPath: /var/lib/license, readOnly: true}
{{- end }}
{{- if and (eq .role "proxy") .values.tls.existingSecretName }}
- {name: teleport-tls, mountPath: /etc/teleport-tls, readOnly: true}
{{- end }}
{{- if .values.tls.existingCASecretName }}
- {name: teleport-tls-ca, mountPath: /etc/teleport-tls-ca, readOnly: true}
{{- end }}
- {name: config, mountPath: /etc/teleport, readOnly: true}
- {name: data, mountPath: /var/lib/teleport}
{{- with .token }}
- {name: {{ . }}, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cluster.pod.volumes" -}}
{{- with .token }}
# A short-lived token in place of the automatic one.
- name: {{ . }}
  projected:
    sources:
      - serviceAccountToken: {path: token}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end }}
{{- if and (eq .role "auth") .values.enterprise }}
- name: license
  secret: {secretName: {{ .values.licenseSecretName | quote }}}
{{- end }}
{{- if and (eq .role "proxy") .values.tls.existingSecretName }}
- name: teleport-tls
  secret: {secretName: {{ .values.tls.existingSecretName }}}
{{- end }}
{{- with .values.tls.existingCASecretName }}
- name: teleport-tls-ca
  secret: {secretName: {{ . }}}
{{- end }}
- name: config
  configMap: {name: {{ .config }}}
- name: data
{{- if .claim }}
  persistentVolumeClaim: {claimName: {{ .claim }}}
{{- else }}
  emptyDir: {}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cluster.pod.env" -}}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- if .values.tls.existingCASecretName }}
- {name: SSL_CERT_FILE, value: "/etc/teleport-tls-ca/{{ .values.tls.existingCASecretKeyName }}"}
{{- end }}
{{- end -}}

{{- define "cluster.pod.placement" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.podSecurityContext }}
securityContext: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "cluster.pod.spread" -}}
{{- if .values.topologySpreadConstraints }}
topologySpreadConstraints: {{ toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else if not .values.disableTopologySpreadConstraints }}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "cluster.selector" $ | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* The long-running container of a role. */ -}}
{{- define "cluster.pod.container" -}}
name: teleport
image: {{ include "cluster.image" . | quote }}
imagePullPolicy: {{ .values.imagePullPolicy }}
{{- with include "cluster.pod.env" . | trim }}
env: {{- . | nindent 2 }}
{{- end }}
args:
  - --diag-addr=0.0.0.0:3000
  {{- if eq .role "auth" }}
  - --apply-on-startup=/etc/teleport/apply-on-startup.yaml
  {{- end }}
  {{- with .values.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- range $name, $port := .ports }}
  - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP}
  {{- end }}
livenessProbe:
  httpGet: {path: /healthz, port: diag}
  initialDelaySeconds: 5
  periodSeconds: 5
  failureThreshold: 6
  timeoutSeconds: {{ .values.probeTimeoutSeconds }}
readinessProbe:
  httpGet: {path: /readyz, port: diag}
  {{- toYaml .values.readinessProbe | nindent 2 }}
  timeoutSeconds: {{ .values.probeTimeoutSeconds }}
lifecycle:
  # Half a minute in which load balancers forget the pod, before it is told to stop.
  preStop: {exec: {command: [teleport, wait, duration, 30s]}}
  {{- with .values.postStart.command }}
  postStart: {exec: {command: {{ toJson . }}}}
  {{- end }}
{{- with .values.resources }}
resources: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.securityContext }}
securityContext: {{ toYaml . | nindent 2 }}
{{- end }}
volumeMounts: {{- include "cluster.pod.mounts" . | nindent 2 }}
{{- end -}}
