"""The teleport-cluster chart of the sandbox against the published chart's interface, fact by fact."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.charts.conftest import RenderFailed

pytestmark = pytest.mark.charts

CHART = "teleport-cluster"
CLUSTER = "tele.example.com"
IMAGE = "public.ecr.aws/gravitational/teleport-ent-distroless:18.10.3"
PLAIN: dict[str, Any] = {
    "clusterName": CLUSTER,
    "chartMode": "standalone",
    "enterprise": True,
    "service": {"type": "ClusterIP"},
    "extraVolumes": [{"name": "corp-ca", "configMap": {"name": "corp-ca"}}],
    "extraVolumeMounts": [{"name": "corp-ca", "mountPath": "/etc/corp"}],
    "annotations": {"pod": {"team": "infra"}},
}
ACCESS_GRAPH = {
    "enabled": True,
    "endpoint": "teleport-access-graph.teleport-access-graph.svc.cluster.local:443",
    "ca": "/var/run/access-graph/ca.pem",
}
PATCHED: dict[str, Any] = {
    **PLAIN,
    "auth": {
        "teleportConfig": {"access_graph": ACCESS_GRAPH},
        "extraVolumes": [
            *PLAIN["extraVolumes"],
            {"name": "tag-ca", "configMap": {"name": "teleport-access-graph-ca"}},
        ],
        "extraVolumeMounts": [
            *PLAIN["extraVolumeMounts"],
            {"name": "tag-ca", "mountPath": "/var/run/access-graph", "readOnly": True},
        ],
        "annotations": {"pod": {"checksum/access-graph-ca": "abc"}},
    },
}
HOOK = {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded"}


@pytest.fixture(scope="module")
def cluster(render):
    def run(values, release="teleport", namespace="teleport"):
        return render(CHART, values, release=release, namespace=namespace)

    return run


@pytest.fixture(scope="module")
def plain(cluster):
    return cluster(PLAIN)


@pytest.fixture(scope="module")
def patched(cluster):
    return cluster(PATCHED)


def labels(component: str | None, release: str = "teleport") -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "teleport-cluster",
        "app.kubernetes.io/instance": release,
        **({"app.kubernetes.io/component": component} if component else {}),
        "helm.sh/chart": "teleport-cluster-18.10.3",
        "app.kubernetes.io/managed-by": "Helm",
        "app.kubernetes.io/version": "18.10.3",
        "teleport.dev/majorVersion": "18",
    }


def selector(component: str, release: str = "teleport") -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "teleport-cluster",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": component,
    }


def pod(objects, component: str, release: str = "teleport") -> dict[str, Any]:
    return objects["Deployment", f"{release}-{component}"]["spec"]["template"]


def container(objects, component: str) -> dict[str, Any]:
    (only,) = pod(objects, component)["spec"]["containers"]
    return only


def config(objects, name: str) -> dict[str, Any]:
    return yaml.safe_load(objects["ConfigMap", name]["data"]["teleport.yaml"])


def mounts(container_spec) -> dict[str, tuple[str, bool]]:
    return {m["mountPath"]: (m["name"], m.get("readOnly", False)) for m in container_spec["volumeMounts"]}


def sources(pod_spec) -> dict[str, dict[str, Any]]:
    return {v["name"]: {k: d for k, d in v.items() if k != "name"} for v in pod_spec["volumes"]}


def test_renders_exactly_the_published_objects(plain, patched):
    assert (
        set(plain)
        == set(patched)
        == {
            ("ServiceAccount", "teleport"),
            ("ServiceAccount", "teleport-proxy"),
            ("ConfigMap", "teleport-auth"),
            ("ConfigMap", "teleport-proxy"),
            ("PersistentVolumeClaim", "teleport"),
            ("ClusterRole", "teleport"),
            ("ClusterRoleBinding", "teleport-teleport"),
            ("ClusterRoleBinding", "teleport-teleport-auth"),
            ("Service", "teleport-auth-v17"),
            ("Service", "teleport-auth-v18"),
            ("Service", "teleport-auth"),
            ("Service", "teleport"),
            ("Deployment", "teleport-auth"),
            ("Deployment", "teleport-proxy"),
            ("ServiceAccount", "teleport-hook"),
            ("ServiceAccount", "teleport-proxy-hook"),
            ("ConfigMap", "teleport-auth-test"),
            ("ConfigMap", "teleport-proxy-test"),
            ("Job", "teleport-auth-test"),
            ("Job", "teleport-proxy-test"),
        }
    )


def test_labels_and_selectors(plain):
    for (kind, name), found in plain.items():
        component = "proxy" if "proxy" in name or (kind, name) == ("Service", "teleport") else "auth"
        # Quirks of the published chart: auth's Deployment has an additional label, and auth's hook Job lacks one.
        expected = labels(None if (kind, name) == ("Job", "teleport-auth-test") else component)
        if (kind, name) == ("Deployment", "teleport-auth"):
            expected["app"] = "teleport"
        assert found["metadata"]["labels"] == expected, (kind, name)
    for component in ("auth", "proxy"):
        assert plain["Deployment", f"teleport-{component}"]["spec"]["selector"]["matchLabels"] == selector(component)
    assert pod(plain, "auth")["metadata"]["labels"] == {**labels("auth"), "app": "teleport"}
    assert pod(plain, "proxy")["metadata"]["labels"] == labels("proxy")


def test_services(plain):
    def ports(name):
        return [(p["name"], p["port"], p["targetPort"]) for p in plain["Service", name]["spec"]["ports"]]

    assert ports("teleport-auth") == [("auth", 3025, 3025), ("kube", 3026, 3026)]
    assert ports("teleport") == [
        ("tls", 443, 3080),
        ("sshproxy", 3023, 3023),
        ("k8s", 3026, 3026),
        ("sshtun", 3024, 3024),
        ("mysql", 3036, 3036),
    ]
    assert plain["Service", "teleport"]["spec"]["type"] == "ClusterIP"
    assert plain["Service", "teleport"]["spec"]["selector"] == selector("proxy")
    assert plain["Service", "teleport-auth"]["spec"]["selector"] == selector("auth")
    for major in ("17", "18"):
        assert plain["Service", f"teleport-auth-v{major}"]["spec"] == {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {**selector("auth"), "teleport.dev/majorVersion": major},
        }


def test_the_proxy_service_is_a_load_balancer_by_default(cluster):
    objects = cluster({"clusterName": CLUSTER})
    assert objects["Service", "teleport"]["spec"]["type"] == "LoadBalancer"


LOG = {
    "severity": "INFO",
    "output": "stderr",
    "format": {"output": "text", "extra_fields": ["timestamp", "level", "component", "caller"]},
}
AUTH_CONFIG = {
    "version": "v3",
    "teleport": {"auth_server": "127.0.0.1:3025", "log": LOG},
    "ssh_service": {"enabled": False},
    "proxy_service": {"enabled": False},
    "auth_service": {
        "enabled": True,
        "cluster_name": CLUSTER,
        "license_file": "/var/lib/license/license.pem",
        "proxy_listener_mode": "separate",
        "authentication": {
            "type": "local",
            "local_auth": True,
            "second_factors": ["otp", "webauthn"],
            "webauthn": {"rp_id": CLUSTER},
        },
    },
    "kubernetes_service": {
        "enabled": True,
        "kube_cluster_name": CLUSTER,
        "listen_addr": "0.0.0.0:3026",
        "public_addr": "teleport-auth.teleport.svc.cluster.local:3026",
    },
}


def test_configuration_of_auth_and_proxies(plain):
    assert config(plain, "teleport-auth") == AUTH_CONFIG
    assert config(plain, "teleport-proxy") == {
        "version": "v3",
        "teleport": {
            "auth_server": "teleport-auth.teleport.svc.cluster.local:3025",
            "join_params": {"method": "kubernetes", "token_name": "teleport-proxy"},
            "log": LOG,
        },
        "ssh_service": {"enabled": False},
        "auth_service": {"enabled": False},
        "proxy_service": {
            "enabled": True,
            "listen_addr": "0.0.0.0:3023",
            "tunnel_listen_addr": "0.0.0.0:3024",
            "kube_listen_addr": "0.0.0.0:3026",
            "mysql_listen_addr": "0.0.0.0:3036",
            "public_addr": f"{CLUSTER}:443",
        },
    }
    assert set(plain["ConfigMap", "teleport-auth"]["data"]) == {"teleport.yaml", "apply-on-startup.yaml"}
    assert set(plain["ConfigMap", "teleport-proxy"]["data"]) == {"teleport.yaml"}


def test_the_join_token_names_the_proxies_service_account(plain):
    token = yaml.safe_load(plain["ConfigMap", "teleport-auth"]["data"]["apply-on-startup.yaml"])
    assert token["kind"] == "token"
    assert token["metadata"]["name"] == "teleport-proxy"
    assert token["spec"]["kubernetes"]["allow"] == [{"service_account": "teleport:teleport-proxy"}]


@pytest.mark.parametrize("component", ["auth", "proxy"])
def test_container_image_arguments_probes_and_stop(plain, component):
    spec = container(plain, component)
    assert spec["name"] == "teleport"
    assert spec["image"] == IMAGE
    startup = ["--apply-on-startup=/etc/teleport/apply-on-startup.yaml"] if component == "auth" else []
    assert spec["args"] == ["--diag-addr=0.0.0.0:3000", *startup]
    assert spec["readinessProbe"] == {
        "httpGet": {"path": "/readyz", "port": "diag"},
        "initialDelaySeconds": 5,
        "periodSeconds": 5,
        "failureThreshold": 12,
        "successThreshold": 1,
        "timeoutSeconds": 5,
    }
    assert spec["livenessProbe"] == {
        "httpGet": {"path": "/healthz", "port": "diag"},
        "initialDelaySeconds": 5,
        "periodSeconds": 5,
        "failureThreshold": 6,
        "timeoutSeconds": 5,
    }
    assert spec["lifecycle"] == {"preStop": {"exec": {"command": ["teleport", "wait", "duration", "30s"]}}}
    assert pod(plain, component)["spec"]["terminationGracePeriodSeconds"] == 60


def test_container_ports(plain):
    def ports(component):
        return {p["name"]: p["containerPort"] for p in container(plain, component)["ports"]}

    assert ports("auth") == {"diag": 3000, "auth": 3025, "kube": 3026}
    assert ports("proxy") == {
        "tls": 3080,
        "proxypeering": 3021,
        "sshproxy": 3023,
        "sshtun": 3024,
        "kube": 3026,
        "mysql": 3036,
        "diag": 3000,
    }


def token_volume() -> dict[str, Any]:
    return {
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]
        }
    }


ACCOUNT_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def test_volumes_and_mounts_of_auth(plain, patched):
    common = {
        "/var/lib/license": ("license", True),
        "/etc/teleport": ("config", True),
        "/var/lib/teleport": ("data", False),
        ACCOUNT_MOUNT: ("auth-serviceaccount-token", True),
        "/etc/corp": ("corp-ca", False),
    }
    assert mounts(container(plain, "auth")) == common
    assert mounts(container(patched, "auth")) == {**common, "/var/run/access-graph": ("tag-ca", True)}
    volumes = {
        "auth-serviceaccount-token": token_volume(),
        "license": {"secret": {"secretName": "license"}},
        "config": {"configMap": {"name": "teleport-auth"}},
        "data": {"persistentVolumeClaim": {"claimName": "teleport"}},
        "corp-ca": {"configMap": {"name": "corp-ca"}},
    }
    assert sources(pod(plain, "auth")["spec"]) == volumes
    assert sources(pod(patched, "auth")["spec"]) == {
        **volumes,
        "tag-ca": {"configMap": {"name": "teleport-access-graph-ca"}},
    }


def test_volumes_and_mounts_of_the_proxies(plain):
    assert mounts(container(plain, "proxy")) == {
        "/etc/teleport": ("config", True),
        "/var/lib/teleport": ("data", False),
        ACCOUNT_MOUNT: ("proxy-serviceaccount-token", True),
        "/etc/corp": ("corp-ca", False),
    }
    assert sources(pod(plain, "proxy")["spec"]) == {
        "proxy-serviceaccount-token": token_volume(),
        "config": {"configMap": {"name": "teleport-proxy"}},
        "data": {"emptyDir": {}},
        "corp-ca": {"configMap": {"name": "corp-ca"}},
    }


def test_one_auth_is_recreated_and_several_are_rolled(plain, cluster):
    assert plain["Deployment", "teleport-auth"]["spec"]["replicas"] == 1
    assert plain["Deployment", "teleport-auth"]["spec"]["strategy"] == {"type": "Recreate"}
    assert plain["Deployment", "teleport-proxy"]["spec"]["replicas"] == 1
    assert "strategy" not in plain["Deployment", "teleport-proxy"]["spec"]
    several = cluster({**PLAIN, "chartMode": "scratch", "highAvailability": {"replicaCount": 2}})
    assert several["Deployment", "teleport-auth"]["spec"]["replicas"] == 2
    assert several["Deployment", "teleport-auth"]["spec"]["strategy"]["type"] == "RollingUpdate"
    assert several["Deployment", "teleport-proxy"]["spec"]["replicas"] == 1, "proxies share no certificate"
    shared = cluster({**PLAIN, "tls": {"existingSecretName": "web"}, "highAvailability": {"replicaCount": 3}})
    assert shared["Deployment", "teleport-proxy"]["spec"]["replicas"] == 3
    assert mounts(container(shared, "proxy"))["/etc/teleport-tls"] == ("teleport-tls", True)


def test_proxies_wait_for_auths_of_the_older_major_version(plain):
    (init,) = pod(plain, "proxy")["spec"]["initContainers"]
    assert init["name"] == "wait-auth-update"
    assert init["image"] == IMAGE
    assert init["command"] == ["teleport", "wait", "no-resolve", "teleport-auth-v17.teleport.svc.cluster.local"]
    assert "initContainers" not in pod(plain, "auth")["spec"]


def test_pods_are_spread_over_hosts_and_zones(plain):
    for component in ("auth", "proxy"):
        assert pod(plain, component)["spec"]["topologySpreadConstraints"] == [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(component)},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ]


def test_service_accounts_and_rights(plain):
    assert pod(plain, "auth")["spec"]["serviceAccountName"] == "teleport"
    assert pod(plain, "proxy")["spec"]["serviceAccountName"] == "teleport-proxy"
    for (kind, name), found in plain.items():
        if kind == "ServiceAccount":
            assert found["automountServiceAccountToken"] is False, name
    assert plain["ClusterRole", "teleport"]["rules"] == [
        {"apiGroups": [""], "resources": ["users", "groups", "serviceaccounts"], "verbs": ["impersonate"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"], "verbs": ["create"]},
    ]
    for name, role in (("teleport-teleport", "teleport"), ("teleport-teleport-auth", "system:auth-delegator")):
        binding = plain["ClusterRoleBinding", name]
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("ClusterRole", role)
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "teleport", "namespace": "teleport"}]


def test_the_data_claim(plain, cluster):
    assert plain["PersistentVolumeClaim", "teleport"]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "10Gi"}},
    }
    without = cluster({**PLAIN, "persistence": {"enabled": False}})
    assert ("PersistentVolumeClaim", "teleport") not in without
    assert sources(pod(without, "auth")["spec"])["data"] == {"emptyDir": {}}
    given = cluster({**PLAIN, "persistence": {"existingClaimName": "mine"}})
    assert ("PersistentVolumeClaim", "teleport") not in given
    assert sources(pod(given, "auth")["spec"])["data"] == {"persistentVolumeClaim": {"claimName": "mine"}}


@pytest.mark.parametrize(("component", "account"), [("auth", "teleport-hook"), ("proxy", "teleport-proxy-hook")])
def test_hook_jobs_try_the_configuration_with_the_roles_own_mounts(patched, component, account):
    name = f"teleport-{component}-test"
    weights = {("ServiceAccount", account): "3", ("ConfigMap", name): "4", ("Job", name): "5"}
    for key, weight in weights.items():
        assert patched[key]["metadata"]["annotations"] == {**HOOK, "helm.sh/hook-weight": weight}, key
    assert patched["Job", name]["spec"]["backoffLimit"] == 1
    template = patched["Job", name]["spec"]["template"]
    assert template["metadata"]["labels"] == labels(component)
    assert template["spec"]["restartPolicy"] == "Never"
    assert template["spec"]["serviceAccountName"] == account
    (spec,) = template["spec"]["containers"]
    assert (spec["command"], spec["args"]) == (["teleport", "configure"], ["--test", "/etc/teleport/teleport.yaml"])
    assert spec["image"] == IMAGE
    running = {path: mount for path, mount in mounts(container(patched, component)).items() if path != ACCOUNT_MOUNT}
    assert mounts(spec) == running
    volumes = sources(template["spec"])
    assert volumes["config"] == {"configMap": {"name": name}}
    assert volumes["data"] == {"emptyDir": {}}
    assert config(patched, name) == config(patched, f"teleport-{component}")


def test_hooks_can_be_switched_off(cluster):
    objects = cluster({**PLAIN, "validateConfigOnDeploy": False})
    assert not [key for key in objects if key[0] == "Job" or key[1].endswith(("-hook", "-test"))]


def test_the_patch_changes_auth_and_its_hook_and_nothing_else(plain, patched):
    changed = {key for key in plain if plain[key] != patched[key]}
    assert changed == {
        ("ConfigMap", "teleport-auth"),
        ("ConfigMap", "teleport-auth-test"),
        ("Deployment", "teleport-auth"),
        ("Job", "teleport-auth-test"),
    }
    assert config(patched, "teleport-auth") == {**AUTH_CONFIG, "access_graph": ACCESS_GRAPH}
    annotations = pod(patched, "auth")["metadata"]["annotations"]
    assert annotations["checksum/access-graph-ca"] == "abc"
    assert annotations["team"] == "infra"
    assert annotations["checksum/config"] != pod(plain, "auth")["metadata"]["annotations"]["checksum/config"]
    assert set(pod(patched, "proxy")["metadata"]["annotations"]) == {"checksum/config", "team"}


def test_lists_under_auth_replace_the_roots_and_maps_merge(cluster):
    values = copy.deepcopy(PLAIN)
    values["auth"] = {"extraVolumes": [], "extraVolumeMounts": [], "annotations": {"pod": {"tier": "core"}}}
    objects = cluster(values)
    assert "corp-ca" not in sources(pod(objects, "auth")["spec"])
    assert "corp-ca" in sources(pod(objects, "proxy")["spec"])
    annotations = pod(objects, "auth")["metadata"]["annotations"]
    assert (annotations["team"], annotations["tier"]) == ("infra", "core")


def test_the_patch_at_the_root_also_mounts_on_the_proxies(cluster):
    values = {**PLAIN, **{key: PATCHED["auth"][key] for key in ("extraVolumes", "extraVolumeMounts")}}
    assert "/var/run/access-graph" in mounts(container(cluster(values), "proxy"))


def test_teleport_config_merges_deeply(cluster):
    values = {**PLAIN, "auth": {"teleportConfig": {"auth_service": {"authentication": {"second_factors": ["otp"]}}}}}
    merged = config(cluster(values), "teleport-auth")
    assert merged["auth_service"]["authentication"]["second_factors"] == ["otp"], "lists replace"
    assert merged["auth_service"]["authentication"]["webauthn"] == {"rp_id": CLUSTER}


@pytest.mark.parametrize("mode", ["standalone", "aws", "gcp", "azure", "scratch"])
def test_teleport_config_reaches_auth_in_every_chart_mode(cluster, mode):
    objects = cluster({**PATCHED, "chartMode": mode})
    assert config(objects, "teleport-auth")["access_graph"] == ACCESS_GRAPH
    assert "access_graph" not in config(objects, "teleport-proxy")
    claimed = ("PersistentVolumeClaim", "teleport") in objects
    assert claimed == (mode in ("standalone", "scratch"))


def test_names_follow_the_release(cluster):
    objects = cluster(PLAIN, release="prod", namespace="access")
    assert ("Deployment", "prod-auth") in objects
    assert ("Deployment", "prod-proxy") in objects
    assert ("Service", "prod") in objects
    assert ("ServiceAccount", "prod-proxy") in objects
    server = config(objects, "prod-proxy")["teleport"]["auth_server"]
    assert server == "prod-auth.access.svc.cluster.local:3025"
    (init,) = pod(objects, "proxy", "prod")["spec"]["initContainers"]
    assert init["command"][-1] == "prod-auth-v17.access.svc.cluster.local"


def test_without_enterprise_there_is_no_licence_and_another_image(cluster):
    objects = cluster({**PLAIN, "enterprise": False})
    assert "license" not in sources(pod(objects, "auth")["spec"])
    assert container(objects, "auth")["image"] == "public.ecr.aws/gravitational/teleport-distroless:18.10.3"
    assert "license_file" not in config(objects, "teleport-auth")["auth_service"]


def test_an_existing_trust_store_replaces_the_containers(cluster):
    objects = cluster({**PLAIN, "tls": {"existingCASecretName": "roots"}})
    for component in ("auth", "proxy"):
        assert container(objects, component)["env"] == [
            {"name": "SSL_CERT_FILE", "value": "/etc/teleport-tls-ca/ca.pem"}
        ]
        assert mounts(container(objects, component))["/etc/teleport-tls-ca"] == ("teleport-tls-ca", True)


def test_who_writes_the_whole_configuration_names_the_cluster_there(cluster):
    named = {"auth_service": {"cluster_name": "t"}}
    objects = cluster({**PLAIN, "clusterName": "", "chartMode": "scratch", "auth": {"teleportConfig": named}})
    assert config(objects, "teleport-auth")["auth_service"] == {"enabled": True, "cluster_name": "t"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clusterName": ""}, "clusterName: required"),
        ({"chartMode": "cloud"}, 'chartMode: "cloud" is none of'),
        ({"ingress": {"enabled": True}}, "ingress.enabled: not rendered"),
        ({"operator": {"enabled": True}}, "operator.enabled: not rendered"),
        ({"highAvailability": {"certManager": {"enabled": True}}}, "certManager.enabled: not rendered"),
    ],
)
def test_what_it_does_not_render_it_refuses(cluster, values, message):
    with pytest.raises(RenderFailed, match=message):
        cluster({**PLAIN, **values})
