{{/* What the daemon's pod and the retrain job's have alike. */}}

{{- define "streamrnn.podSpec" -}}
serviceAccountName: {{ include "streamrnn.serviceAccount" . }}
automountServiceAccountToken: false
# Else a Service called streamrnn makes variables that begin as settings do and are none: they would be refused.
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
initContainers:
  # The root file system is read only, and numba takes no cache that it cannot write to.
  - name: compiled
    image: {{ include "streamrnn.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [sh, -c, "mkdir -p /cache/numba && cp -r /opt/streamrnn/numba/. /cache/numba/"]
    securityContext:
      {{- toYaml .Values.securityContext | nindent 6 }}
    resources:
      requests: {cpu: 50m, memory: 64Mi, ephemeral-storage: 256Mi}
      limits: {memory: 256Mi, ephemeral-storage: 1Gi}
    volumeMounts:
      - {name: cache, mountPath: /cache}
{{- end -}}

{{- define "streamrnn.env" -}}
- {name: NUMBA_CACHE_DIR, value: /cache/numba}
- {name: HOME, value: /tmp}
{{- if .Values.secrets.existingSecret }}
- {name: STREAMRNN_SECRETS_DIR, value: /etc/streamrnn/secrets}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "streamrnn.mounts" -}}
- {name: settings, mountPath: /etc/streamrnn/settings, readOnly: true}
- {name: cache, mountPath: /cache}
- {name: tmp, mountPath: /tmp}
{{- if .Values.secrets.existingSecret }}
- {name: secrets, mountPath: /etc/streamrnn/secrets, readOnly: true}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: tls, mountPath: /etc/streamrnn/tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "streamrnn.volumes" -}}
- name: settings
  configMap:
    name: {{ include "streamrnn.fullname" . }}
- name: cache
  emptyDir: {sizeLimit: {{ .Values.cache.sizeLimit }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with .Values.secrets.existingSecret }}
- name: secrets
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if .Values.models.persistence.enabled }}
- name: models
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-models" (include "streamrnn.fullname" .)) .Values.models.persistence.existingClaim }}
{{- end }}
{{- end -}}
