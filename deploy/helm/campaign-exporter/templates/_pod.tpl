{{- /*
The pod, the same for the Deployment and the StatefulSets. Takes a dict: root (the top context), labels (a dict more).
*/ -}}
{{- define "campaign-exporter.pod" -}}
{{- $root := .root -}}
{{- with $root -}}
metadata:
  labels:
    {{- include "campaign-exporter.labels" . | nindent 4 }}
    {{- with $.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "campaign-exporter.serviceAccountName" . | quote }}
  automountServiceAccountToken: false
  # Variables of a Service would share the prefix of the exporter's own settings.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  # The exporter lets running scrapes end for 5 seconds.
  terminationGracePeriodSeconds: 15
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "campaign-exporter.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy | quote }}
      args:
        {{- if .Values.demo }}
        - demo
        {{- else }}
        - serve
        - --config.file=/etc/campaign-exporter/campaign-exporter.yml
        - --web.listen-address=:10077
        {{- if .Values.existingWebConfigSecret }}
        - --web.config.file=/etc/campaign-exporter-web/web-config.yml
        {{- end }}
        {{- end }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      {{- if or (not .Values.demo) .Values.extraEnv }}
      env:
        {{- if not .Values.demo }}
        # A ConfigMap or Secret changes by a swapped link and sends no signal: the exporter looks itself.
        - name: CAMPAIGN_EXPORTER_RELOAD__AUTO_INTERVAL
          value: {{ .Values.reloadInterval | quote }}
        {{- if gt (int .Values.shards) 1 }}
        - name: CAMPAIGN_EXPORTER_SHARD__INDEX
          value: hostname
        - name: CAMPAIGN_EXPORTER_SHARD__COUNT
          value: {{ .Values.shards | int | quote }}
        {{- end }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 10077
          protocol: TCP
      {{- $paths := dict "startupProbe" "/-/healthy" "livenessProbe" "/-/healthy" "readinessProbe" "/-/ready" }}
      {{- range $probe, $path := $paths }}
      {{- with get $root.Values $probe }}
      {{ $probe }}:
        {{- if not (or .httpGet .tcpSocket .exec .grpc) }}
        httpGet:
          path: {{ $path }}
          port: http
          scheme: {{ ternary "HTTPS" "HTTP" $root.Values.tls }}
        {{- end }}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if or (not .Values.demo) .Values.existingTokenSecrets .Values.existingWebConfigSecret .Values.extraVolumeMounts }}
      # Whole folders, never subPath: a file mounted by subPath is not updated when its Secret is.
      volumeMounts:
        {{- if not .Values.demo }}
        - name: config
          mountPath: /etc/campaign-exporter
          readOnly: true
        {{- end }}
        {{- range $index, $secret := .Values.existingTokenSecrets }}
        - name: tokens-{{ $index }}
          mountPath: {{ printf "/run/secrets/%s" $secret | quote }}
          readOnly: true
        {{- end }}
        {{- if .Values.existingWebConfigSecret }}
        - name: web-config
          mountPath: /etc/campaign-exporter-web
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- if or (not .Values.demo) .Values.existingTokenSecrets .Values.existingWebConfigSecret .Values.extraVolumes }}
  volumes:
    {{- if not .Values.demo }}
    - name: config
      {{- if .Values.existingConfigSecret }}
      secret:
        secretName: {{ .Values.existingConfigSecret | quote }}
        defaultMode: 0440
      {{- else }}
      configMap:
        name: {{ include "campaign-exporter.fullname" . | quote }}
      {{- end }}
    {{- end }}
    {{- range $index, $secret := .Values.existingTokenSecrets }}
    - name: tokens-{{ $index }}
      secret:
        secretName: {{ $secret | quote }}
        defaultMode: 0440
    {{- end }}
    {{- if .Values.existingWebConfigSecret }}
    - name: web-config
      secret:
        secretName: {{ .Values.existingWebConfigSecret | quote }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "campaign-exporter.selectorLabels" . | nindent 10 }}
    {{- end }}
{{- end -}}
{{- end -}}
