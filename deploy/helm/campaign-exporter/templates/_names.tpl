{{- define "campaign-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimAll "-" -}}
{{- end -}}

{{- /*
50 characters: a StatefulSet's name ends with "-a" here, and Kubernetes adds 11 more to it in a label that holds 63.
*/ -}}
{{- define "campaign-exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimAll "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimAll "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimAll "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
The name of a Service begins with a letter, the name of a release need not.
*/ -}}
{{- define "campaign-exporter.serviceName" -}}
{{- regexReplaceAll "^([0-9])" (include "campaign-exporter.fullname" .) "svc-${1}" -}}
{{- end -}}

{{- /*
The target label that tells this release from others in one Prometheus. The ServiceMonitor gives it to the targets.
*/ -}}
{{- define "campaign-exporter.installation" -}}
{{- printf "%s/%s" .Release.Namespace (include "campaign-exporter.fullname" .) -}}
{{- end -}}

{{- define "campaign-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "campaign-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "campaign-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." | quote }}
{{ include "campaign-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
{{- end -}}

{{- define "campaign-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "campaign-exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "campaign-exporter.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /*
A duration of Prometheus in milliseconds.
*/ -}}
{{- define "campaign-exporter.milliseconds" -}}
{{- $sum := 0 -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d)" . -1 -}}
{{- $sum = add $sum (mul (regexFind "[0-9]+" .) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- /*
How long a scrape may take: never longer than the interval, which Prometheus would refuse.
*/ -}}
{{- define "campaign-exporter.scrapeTimeout" -}}
{{- $interval := include "campaign-exporter.milliseconds" .interval -}}
{{- if .scrapeTimeout -}}
{{- if gt (include "campaign-exporter.milliseconds" .scrapeTimeout | int) (int $interval) -}}
{{- fail "serviceMonitor.scrapeTimeout is longer than serviceMonitor.interval" -}}
{{- end -}}
{{- .scrapeTimeout -}}
{{- else -}}
{{- ternary .interval "10s" (lt (int $interval) 10000) -}}
{{- end -}}
{{- end -}}
