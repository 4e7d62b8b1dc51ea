#!/usr/bin/env bash
# The steps of Teleport's guide by hand, as fast as they go: the database, the certificate and the rest of what waits for
# nothing run side by side, and it waits only where the guide waits. Needs openssl, kubectl, helm and psql.
#
#   manual_steps.sh <access-graph chart> <teleport-cluster chart> <teleport values> <host CA> <RDS bundle> \
#       <subnets> <vpc> <client security group>
set -euo pipefail
graph_chart=$1 teleport_chart=$2 teleport_values=$3 host_ca=$4 rds_bundle=$5 subnets=$6 vpc=$7 client_group=$8

namespace=teleport-access-graph
service=teleport-access-graph.$namespace.svc.cluster.local
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

database() {
    python "$here/create_instance.py" manual-access-graph "$subnets" "$vpc" "$client_group" > instance
    { read -r host; read -r port; read -r master; } < instance
    # No character that a URI would have to encode.
    password=$(openssl rand -hex 24)
    export PGHOST=$host PGPORT=$port PGUSER=tag_admin PGPASSWORD=$master PGSSLMODE=verify-full PGSSLROOTCERT=$rds_bundle
    psql --quiet --set ON_ERROR_STOP=1 --dbname postgres \
        --command "CREATE ROLE access_graph LOGIN PASSWORD '$password'" \
        --command "GRANT access_graph TO tag_admin WITH SET TRUE" \
        --command "CREATE DATABASE access_graph OWNER access_graph"
    psql --quiet --set ON_ERROR_STOP=1 --dbname access_graph --command "CREATE EXTENSION IF NOT EXISTS pg_trgm"
    printf 'postgres://access_graph:%s@%s:%s/access_graph?sslmode=verify-full&sslrootcert=/var/run/database-ca/ca.pem' \
        "$password" "$host" "$port" > uri
}

certificate() {
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -sha256 -days 3652 -out ca.crt -subj '/CN=root'
    openssl ecparam -name prime256v1 -genkey -noout -out cert.key
    openssl req -new -key cert.key -out cert.csr -subj '/CN=Access Graph'
    printf 'extendedKeyUsage = serverAuth, clientAuth\nsubjectAltName = DNS:%s' "$service" > extensions
    openssl x509 -req -in cert.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out cert.crt -days 365 -sha256 \
        -extfile extensions 2> /dev/null
}

all_of() {
    for process in "$@"; do wait "$process"; done
}

database & for_database=$!
certificate & for_certificate=$!
kubectl create namespace $namespace > /dev/null
kubectl -n $namespace create configmap database-ca --from-file=ca.pem="$rds_bundle" > /dev/null

# Values, while others work.
{
    printf 'postgres:\n  secretName: teleport-access-graph-postgres\ntls:\n  existingSecretName: teleport-access-graph-tls\n'
    printf 'volumes:\n  - name: database-ca\n    configMap:\n      name: database-ca\n'
    printf 'volumeMounts:\n  - name: database-ca\n    mountPath: /var/run/database-ca\n    readOnly: true\n'
    printf 'clusterHostCAs:\n  - |\n'
    sed 's/^/    /' "$host_ca"
} > tag-values.yaml
cat > access-graph.yaml <<VALUES
auth:
  teleportConfig:
    access_graph:
      enabled: true
      endpoint: $service:443
      ca: /var/run/access-graph/ca.pem
  extraVolumes:
    - name: tag-ca
      configMap:
        name: teleport-access-graph-ca
  extraVolumeMounts:
    - name: tag-ca
      mountPath: /var/run/access-graph
VALUES
# Helm replaces lists, so what the owner mounts is put beside ours by hand.
python - "$teleport_values" access-graph.yaml > teleport-values.yaml <<'MERGE'
import sys

import yaml

owners, ours = (yaml.safe_load(open(file)) for file in sys.argv[1:])
auth = owners.setdefault("auth", {})
for key in ("extraVolumes", "extraVolumeMounts"):
    auth[key] = auth.get(key, []) + ours["auth"][key]
auth.setdefault("teleportConfig", {}).update(ours["auth"]["teleportConfig"])
print(yaml.safe_dump(owners))
MERGE

all_of $for_certificate
kubectl -n $namespace create secret tls teleport-access-graph-tls --cert=cert.crt --key=cert.key > /dev/null
kubectl -n teleport create configmap teleport-access-graph-ca --from-file=ca.pem=ca.crt > /dev/null
all_of $for_database
kubectl -n $namespace create secret generic teleport-access-graph-postgres --from-file=uri=uri > /dev/null

helm install -n $namespace -f tag-values.yaml teleport-access-graph "$graph_chart" > /dev/null
kubectl -n $namespace rollout status deployment/teleport-access-graph > /dev/null
helm upgrade -n teleport -f teleport-values.yaml teleport "$teleport_chart" > /dev/null
kubectl -n teleport rollout status deployment/teleport-auth > /dev/null
kubectl -n teleport rollout restart deployment/teleport-proxy > /dev/null
kubectl -n teleport rollout status deployment/teleport-proxy > /dev/null
