{{/* The name of all that belongs to a component: (list $ "broker") or (list $ "portal"). */}}
{{- define "compose.name" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" ($root.Release.Name | trunc 50 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{- define "compose.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "compose.labels" -}}
{{- $root := index . 0 -}}
{{ include "compose.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end -}}

{{- define "compose.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What both kinds of pods have beside their containers. */}}
{{- define "compose.pod" -}}
{{- $root := index . 0 -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "compose.selector" . | nindent 8 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "compose.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The settings of the cluster, which broker and portals share. */}}
{{- define "compose.etcdEnv" -}}
- name: ETCD_ENDPOINTS
  value: {{ required "etcd.endpoints must name the cluster" .Values.etcd.endpoints | quote }}
- name: PORTAL_ENDPOINTS
  value: {{ required "portal.endpoints must say what credentials name" .Values.portal.endpoints | quote }}
{{- if .Values.etcd.caSecret }}
- name: ETCD_CA_CERT
  value: /etc/compose-etcd/etcd-ca/ca.crt
{{- end }}
{{- if .Values.etcd.clientCertificateSecret }}
- name: ETCD_CLIENT_CERT
  value: /etc/compose-etcd/etcd-client/tls.crt
- name: ETCD_CLIENT_KEY
  value: /etc/compose-etcd/etcd-client/tls.key
{{- end }}
{{- if .Values.catalogConfigMap }}
- name: CATALOG
  value: /etc/compose-etcd/catalog/catalog.json
{{- end }}
{{- if .Values.portal.tlsSecret }}
{{- if .Values.portal.caSecret }}
- name: PORTAL_CA_CERT
  value: /etc/compose-etcd/portal-ca/ca.crt
{{- end }}
- name: PORTAL_TLS_CERT
  value: /etc/compose-etcd/portal-tls/tls.crt
- name: PORTAL_TLS_KEY
  value: /etc/compose-etcd/portal-tls/tls.key
{{- end }}
{{- end -}}

{{- define "compose.mounts" -}}
{{- if .Values.etcd.caSecret }}
- name: etcd-ca
  mountPath: /etc/compose-etcd/etcd-ca
  readOnly: true
{{- end }}
{{- if .Values.etcd.clientCertificateSecret }}
- name: etcd-client
  mountPath: /etc/compose-etcd/etcd-client
  readOnly: true
{{- end }}
{{- if .Values.catalogConfigMap }}
- name: catalog
  mountPath: /etc/compose-etcd/catalog
  readOnly: true
{{- end }}
{{- if .Values.portal.tlsSecret }}
- name: portal-tls
  mountPath: /etc/compose-etcd/portal-tls
  readOnly: true
{{- if .Values.portal.caSecret }}
- name: portal-ca
  mountPath: /etc/compose-etcd/portal-ca
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "compose.volumes" -}}
{{- if .Values.etcd.caSecret }}
- name: etcd-ca
  secret:
    secretName: {{ .Values.etcd.caSecret }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- if .Values.etcd.clientCertificateSecret }}
- name: etcd-client
  secret:
    secretName: {{ .Values.etcd.clientCertificateSecret }}
    defaultMode: 288 # 0440: the files are the group's, too
{{- end }}
{{- if .Values.catalogConfigMap }}
- name: catalog
  configMap:
    name: {{ .Values.catalogConfigMap }}
{{- end }}
{{- if .Values.portal.tlsSecret }}
- name: portal-tls
  secret:
    secretName: {{ .Values.portal.tlsSecret }}
    defaultMode: 288 # 0440: the files are the group's, too
{{- if .Values.portal.caSecret }}
- name: portal-ca
  secret:
    secretName: {{ .Values.portal.caSecret }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end }}
{{- end -}}
