"""Bundles: equal for equal plans, whole or refused."""

import json

import pytest

from bongsu.render.bundle import Bundle, BundleError, make_bundle
from tests.golden.networks import NETWORKS, plans


def bundle() -> Bundle:
    return make_bundle(plans("anycast")["seoul"])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_tree_comes_back(network: str) -> None:
    for plan in plans(network).values():
        made = make_bundle(plan)
        back = Bundle.from_tree(made.to_tree())
        assert back == made
        assert back.digest == made.digest


def test_equal_plans_make_equal_bundles() -> None:
    plan = plans("anycast")["seoul"]
    again = type(plan).model_validate_json(plan.canonical_json())
    assert make_bundle(again).to_tree() == bundle().to_tree()


def test_the_digest_covers_plan_and_files() -> None:
    digests = {make_bundle(plan).digest for plan in plans("anycast").values()}
    assert len(digests) == 3
    other = Bundle(bundle().plan, {**bundle().files, "/etc/bird/bird.conf": ""})
    assert other.digest != bundle().digest


def test_manifest_names_modes_and_hashes() -> None:
    manifest = json.loads(bundle().to_tree()["manifest.json"])
    assert manifest == bundle().manifest()
    assert manifest["plan"] != manifest["files"]["/etc/bird/bird.conf"]["sha256"]
    assert manifest["files"]["/etc/netplan/60-bongsu.yaml"]["mode"] == "0600"
    assert manifest["files"]["/etc/bird/bird.conf"]["mode"] == "0644"


def test_all_differences_are_named_at_once() -> None:
    tree = bundle().to_tree()
    tree["root/etc/bird/bird.conf"] += " "
    tree["plan.json"] += " "
    tree["root/etc/cron.d/x"] = ""
    tree["notes"] = ""
    del tree["root/etc/sysctl.d/60-bongsu.conf"]
    with pytest.raises(BundleError) as error:
        Bundle.from_tree(tree)
    assert error.value.missing == ("root/etc/sysctl.d/60-bongsu.conf",)
    assert error.value.extra == ("notes", "root/etc/cron.d/x")
    assert error.value.changed == ("plan.json", "root/etc/bird/bird.conf")
    assert "root/etc/cron.d/x" in str(error.value)


@pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
def test_without_manifest_or_plan_it_is_no_bundle(name: str) -> None:
    tree = bundle().to_tree()
    del tree[name]
    with pytest.raises(BundleError) as error:
        Bundle.from_tree(tree)
    assert error.value.missing == (name,)


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "{}", '{"files":{}}', '{"version":2,"files":{}}', '{"version":1,"files":[]}'],
)
def test_a_manifest_of_another_kind_is_refused(manifest: str) -> None:
    with pytest.raises(BundleError):
        Bundle.from_tree(bundle().to_tree() | {"manifest.json": manifest})


def test_a_manifest_cannot_say_more_than_the_plan() -> None:
    tree = bundle().to_tree()
    manifest = json.loads(tree["manifest.json"])
    manifest["files"]["/etc/bird/bird.conf"]["mode"] = "4755"
    tree["manifest.json"] = json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n"
    with pytest.raises(BundleError) as error:
        Bundle.from_tree(tree)
    assert error.value.changed == ("manifest.json",)


@pytest.mark.parametrize("path", ["root/../etc/passwd", "root//etc/passwd", "root/etc/./x", "root"])
def test_a_path_cannot_leave_the_root(path: str) -> None:
    tree = bundle().to_tree()
    manifest = json.loads(tree["manifest.json"])
    manifest["files"][path[len("root") :]] = {"sha256": "", "mode": "0644"}
    tree |= {path: "", "manifest.json": json.dumps(manifest)}
    with pytest.raises(BundleError) as error:
        Bundle.from_tree(tree)
    assert path in error.value.extra
