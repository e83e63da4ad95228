# SPDX-License-Identifier: Apache-2.0
"""Holds the files that others run stepd by to their schemas: Kubernetes' (the oldest version that is
still looked at, and the newest known here), Compose's, and hadolint's rules for a Dockerfile. And holds
them to each other, which no schema does: names, labels, the user, the number of workers.

The validators come from PyPI into build/venv-lint, which deploy/test.sh makes; the rest needs its YAML.
"""
import json
import re
import subprocess
import sys

from sources import ROOT, SKIPPED, finish, project_files

TOOLS = ROOT / "build/venv-lint/bin"
KUBERNETES = ("1.29.0", "1.37.0")
ONE_OF = ("deploy/k8s/daemon.yaml", "deploy/k8s/daemons.yaml")  # a cluster has
COMPOSE = "deploy/docker/compose.yaml"
DOCKERFILE = "deploy/docker/Dockerfile"
TO_JSON = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))"


def run(tool, *arguments):
    """What a validator has to say, if it says no."""
    done = subprocess.run([TOOLS / tool, *arguments], cwd=ROOT, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    return [f"{tool}: {line}" for line in lines] if done.returncode else []


def documents(path):
    done = subprocess.run([TOOLS / "python", "-c", TO_JSON, path], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    return json.loads(done.stdout)


class Cluster:
    """All objects of these files."""

    def __init__(self, paths):
        self.objects = [item for path in paths for item in documents(path)]

    def of(self, kind):
        return {item["metadata"]["name"]: item["spec"] if "spec" in item else item
                for item in self.objects if item["kind"] == kind}

    def pods(self):
        return {name: spec["template"] for kind in ("StatefulSet", "Job")
                for name, spec in self.of(kind).items()}


def is_within(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def check_selectors(cluster):
    """Whatever selects pods selects some."""
    pods = cluster.pods().values()
    wanted = [(f"Service {name}", spec["selector"]) for name, spec in cluster.of("Service").items()]
    for name, spec in cluster.of("NetworkPolicy").items():
        wanted.append((f"NetworkPolicy {name}", spec["podSelector"]["matchLabels"]))
        peers = [peer for rule in spec.get("ingress", []) for peer in rule["from"]]
        peers += [peer for rule in spec.get("egress", []) for peer in rule["to"]]
        wanted += [(f"a peer of NetworkPolicy {name}", peer["podSelector"]["matchLabels"])
                   for peer in peers if "podSelector" in peer]
    for who, selector in wanted:
        if not any(is_within(selector, pod["metadata"]["labels"]) for pod in pods):
            yield f"{who} selects no pod: {selector}"


def check_pod(name, pod, cluster, user):
    """Its user, its rights, and the files of its Secrets."""
    spec = pod["spec"]
    if spec["securityContext"]["runAsUser"] != user or not spec["securityContext"]["runAsNonRoot"]:
        yield f"{name} does not run as the image's user {user}"
    if spec["automountServiceAccountToken"] or spec["enableServiceLinks"]:
        yield f"{name} gets what it has no use for: a token of the cluster, or variables of services"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for container in spec["containers"]:
        context = container["securityContext"]
        if context["allowPrivilegeEscalation"] or not context["readOnlyRootFilesystem"] or \
                context["capabilities"] != {"drop": ["ALL"]}:
            yield f"{name}: its container is not confined"
        for mount in container["volumeMounts"]:
            secret = volumes.get(mount["name"], {}).get("secret")
            if secret is None:
                continue
            known = cluster.of("Secret")[secret["secretName"]]["stringData"]
            text = json.dumps(container)
            for file in re.findall(re.escape(mount["mountPath"]) + r"/([\w.-]+)", text):
                if file not in known:
                    yield f"{name}: Secret {secret['secretName']} has no {file}"


def check_peers(name, spec):
    """Several daemons are all in their list, by the names that their Service gives them."""
    said = {item["name"]: item.get("value")
            for item in spec["template"]["spec"]["containers"][0].get("env", [])}
    listed = said.get("STEPD_PEERS", "").split(",")
    if spec["replicas"] > 1 and \
            listed != [f"{name}-{i}.{spec['serviceName']}:7070" for i in range(spec["replicas"])]:
        yield f"StatefulSet {name}: {spec['replicas']} replicas, and STEPD_PEERS has {listed}"


def check_cluster(paths, user):
    cluster = Cluster(paths)
    yield from check_selectors(cluster)
    for name, pod in cluster.pods().items():
        yield from check_pod(name, pod, cluster, user)
    for name, spec in cluster.of("StatefulSet").items():
        if spec["serviceName"] not in cluster.of("Service"):
            yield f"StatefulSet {name} has no Service {spec['serviceName']}"
        yield from check_peers(name, spec)
    for name, spec in cluster.of("Job").items():
        said = {item["name"]: item.get("value") for item in spec["template"]["spec"]["containers"][0]["env"]}
        numbers = {str(spec["completions"]), str(spec["parallelism"]), said["STEPD_WORLD"]}
        if len(numbers) != 1:
            yield f"Job {name}: completions, parallelism and STEPD_WORLD differ: {sorted(numbers)}"


def check_compose(user):
    document = documents(COMPOSE)[0]
    services = document["services"]
    workers = services["worker"]
    world = workers["command"][workers["command"].index("--world") + 1]
    if str(workers["deploy"]["replicas"]) != world:
        yield f"{COMPOSE}: {workers['deploy']['replicas']} workers, but --world {world}"
    for name, service in services.items():
        files = set(re.findall(r"/run/secrets/([\w.-]+)", json.dumps(service)))
        if files != set(service["secrets"]) or not files <= set(document["secrets"]):
            yield f"{COMPOSE}: {name} uses {sorted(files)}, and is given {sorted(service['secrets'])}"
    if f"chown {user}:{user} " not in (ROOT / COMPOSE).read_text():
        yield f"{COMPOSE}: does not say that the keys are the image's user's ({user})"


def main():
    if not (TOOLS / "kubernetes-validate").exists():
        print("skipped: build/venv-lint has no validators (deploy/test.sh dev installs them)")
        return SKIPPED
    paths = [path for path in project_files(".yaml") if path.startswith("deploy/k8s/")]
    user = int(re.search(r"^USER (\d+):\1$", (ROOT / DOCKERFILE).read_text(), re.MULTILINE).group(1))
    findings = [finding for version in KUBERNETES
                for finding in run("kubernetes-validate", "--strict", "--quiet", "-k", version, *paths)]
    findings += run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)
    findings += run("hadolint", DOCKERFILE)
    for daemon in ONE_OF:
        cluster = [path for path in paths if path == daemon or path not in ONE_OF]
        findings += [f"with {daemon}: {finding}" for finding in check_cluster(cluster, user)]
    findings += check_compose(user)
    return finish(f"{len(paths)} manifests of Kubernetes, one of Compose, one Dockerfile", len(paths),
                  findings)


if __name__ == "__main__":
    sys.exit(main())
