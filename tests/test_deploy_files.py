"""What is deployed elsewhere: Kubernetes manifests, the seccomp profile of the container around."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from execbox_service.metrics import Metrics

ROOT: Final = Path(__file__).resolve().parents[1]
DEPLOY: Final = ROOT / "deploy"
MANIFESTS: Final = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OLDEST_KUBERNETES: Final = "1.33"
NEVER: Final = {
    *("bpf", "perf_event_open", "init_module", "finit_module", "delete_module", "kexec_load"),
    *("kexec_file_load", "open_by_handle_at", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("io_uring_setup", "io_uring_enter", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("reboot", "swapon", "swapoff", "acct", "quotactl", "clock_settime", "settimeofday", "chroot"),
}


def documents() -> list[Any]:
    """Every object of the manifests."""
    return [
        each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text("utf-8")) if each
    ]


def document(kind: str) -> Any:
    """The one of a kind."""
    (found,) = [each for each in documents() if each["kind"] == kind]
    return found


def allowed(profile: Path) -> dict[str, list[Any]]:
    """System call to its rules, as a profile allows it."""
    rules = json.loads(profile.read_text("utf-8"))["syscalls"]
    found: dict[str, list[Any]] = {}
    for rule in rules:
        if rule["action"] == "SCMP_ACT_ALLOW":
            for name in rule["names"]:
                found.setdefault(name, []).append(rule.get("args", []))
    return found


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, "newest"])
def test_manifests_fit_the_schemas_of_kubernetes(version: str) -> None:
    """Each object of each manifest, strictly: a field that is not known is an error."""
    validator = pytest.importorskip("kubernetes_validate")
    kubernetes = validator.latest_version() if version == "newest" else version
    assert len(documents()) >= 6
    for each in documents():
        validator.validate(each, kubernetes, strict=True)


def test_validator_refuses_what_is_misspelt() -> None:
    """Of what the test above would see nothing, were it not strict."""
    validator = pytest.importorskip("kubernetes_validate")
    deployment = document("Deployment")
    deployment["spec"]["template"]["spec"]["hostUser"] = False
    with pytest.raises(validator.ValidationError, match="hostUser"):
        validator.validate(deployment, OLDEST_KUBERNETES, strict=True)


def test_pod_has_what_sandboxes_need_and_nothing_on_its_node() -> None:
    """A user namespace of its own, two capabilities in it, no privilege and no token."""
    pod = document("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert pod["hostUsers"] is False
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["SETUID", "SETGID"]}
    assert context["privileged"] is context["allowPrivilegeEscalation"] is False
    assert context["procMount"] == "Unmasked"
    assert context["seccompProfile"]["type"] == "Localhost"
    assert all("hostPath" not in volume for volume in pod["volumes"])


def test_autoscaler_follows_a_metric_that_the_service_has() -> None:
    """Its name is that of the histogram, with the quantile that the adapter's rule computes."""
    (metric,) = document("HorizontalPodAutoscaler")["spec"]["metrics"]
    name, _, quantile = metric["pods"]["metric"]["name"].rpartition("_")
    assert quantile == "p90"
    assert f"{name}_bucket" in Metrics().render().decode()
    assert f"{name}_bucket{{" in (DEPLOY / "kubernetes/autoscaler.yaml").read_text("utf-8")


def test_profile_of_the_container_permits_whatever_a_sandbox_s_own_does() -> None:
    """Both apply to a function: what the outer one refused would differ from Docker's sandboxes."""
    outer = allowed(DEPLOY / "seccomp.json")
    inner = allowed(ROOT / "sandbox-image" / "seccomp.json")
    assert inner.keys() <= outer.keys()
    assert all([] in outer[name] for name in inner)


def test_profile_of_the_container_refuses_what_no_service_needs() -> None:
    """It is a list of what is permitted, and none of these is on it."""
    profile = json.loads((DEPLOY / "seccomp.json").read_text("utf-8"))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not NEVER & allowed(DEPLOY / "seccomp.json").keys()
