{{/* What things are called, and what is said of them in several places. */}}

{{- define "fleet.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "fleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "fleet.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "fleet.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of what belongs to the whole cluster: two installs may have one name in two namespaces. */}}
{{- define "fleet.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "fleet.fullname" .) -}}
{{- end -}}

{{- define "fleet.selector" -}}
app.kubernetes.io/name: {{ include "fleet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fleet.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "fleet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "fleet.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fleet.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: say which one, where none is created" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "fleet.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "fleet.host" -}}
{{- printf "%s.%s.svc" (include "fleet.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "fleet.scheme" -}}
{{- ternary "https" "http" (ne .Values.api.tls.secretName "") -}}
{{- end -}}

{{- define "fleet.url" -}}
{{- default (printf "%s://%s:%v" (include "fleet.scheme" .) (include "fleet.host" .) .Values.service.port) .Values.api.url -}}
{{- end -}}

{{/* The operator's configuration; its form is that of operator/config.py. */}}
{{- define "fleet.config" -}}
{{- with .Values.election }}
{{- if not (and (lt (float64 .retry) (float64 .renewLimit)) (lt (float64 .renewLimit) (float64 .duration))) }}
{{- fail "election: retry must be below renewLimit, and that below duration: two would lead at once" }}
{{- end }}
{{- end -}}
[plane]
servers = {{ .Values.plane.servers | toJson }}
credentials = "/secrets/plane/operator.creds"
signing_key = "/secrets/plane/signing.seed"
devices_account = {{ required "plane.devicesAccount: the public key that `fleet plane keys` said" .Values.plane.devicesAccount | toJson }}
device_url = {{ required "plane.deviceUrl: the message plane as devices reach it, such as tls://nats.example.org:4222" .Values.plane.deviceUrl | toJson }}
{{- if .Values.plane.ca.secretName }}
ca = {{ printf "/secrets/plane-ca/%s" .Values.plane.ca.key | toJson }}
{{- end }}
replicas = {{ int .Values.plane.replicas }}

[api]
url = {{ include "fleet.url" . | toJson }}
token = "/secrets/api/token"
{{- if .Values.api.tls.secretName }}
certificate = "/secrets/tls/tls.crt"
key = "/secrets/tls/tls.key"
{{- with .Values.api.tls.caKey }}
ca = {{ printf "/secrets/tls/%s" . | toJson }}
{{- end }}
{{- end }}
name = {{ include "fleet.host" . | toJson }}
address = {{ .Values.api.address | toJson }}
port = {{ int .Values.api.port }}

[devices]
all_namespaces = {{ .Values.devices.allNamespaces }}
declared_only = {{ .Values.devices.declaredOnly }}

[election]
duration_s = {{ .Values.election.duration }}
renew_limit_s = {{ .Values.election.renewLimit }}
retry_s = {{ .Values.election.retry }}
{{- end -}}

{{/* The ports of the message plane's servers, each once. */}}
{{- define "fleet.planePorts" -}}
{{- $ports := list -}}
{{- range .Values.plane.servers -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "4222" | int) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
