{{- define "streamrnn.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "streamrnn.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "streamrnn.labels" -}}
{{ include "streamrnn.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "streamrnn.selector" -}}
app.kubernetes.io/name: {{ include "streamrnn.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The daemons, not the retrain job. */}}
{{- define "streamrnn.daemons" -}}
{{ include "streamrnn.selector" . }}
app.kubernetes.io/component: daemon
{{- end -}}

{{- define "streamrnn.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "streamrnn.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "streamrnn.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "streamrnn.port" -}}
{{- int64 (dig "http" "port" 9464 .Values.settings) -}}
{{- end -}}

{{/* As the Prometheus operator names the job of a PodMonitor. */}}
{{- define "streamrnn.job" -}}
{{ .Release.Namespace }}/{{ include "streamrnn.fullname" . }}
{{- end -}}

{{/* Settings as TOML, whose strings, numbers and booleans JSON's are. */}}
{{- define "streamrnn.toml" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if and .Values.snapshots.persistence.enabled (not (dig "snapshots" "url" "" $settings)) -}}
{{- $_ := set $settings "snapshots" (merge (dict "url" "/snapshots") (default dict $settings.snapshots)) -}}
{{- end -}}
{{- range $section, $options := $settings }}
[{{ $section }}]
{{- range $name, $value := $options }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{ end -}}
{{- end -}}
