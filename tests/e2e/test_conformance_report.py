"""How Kubernetes' conformance specs are judged: what must turn a run red does."""

import json

import pytest
from k8s_conformance import report


def spec(name, state="passed", message="", kind="It"):
    return {
        "ContainerHierarchyTexts": ["[sig-node] Pods"],
        "LeafNodeText": f"{name} [Conformance]",
        "LeafNodeType": kind,
        "State": state,
        "RunTime": 2_000_000_000,
        "Failure": {"Message": message},
    }


def judge(*specs, skips=None, code=0, focus=r"\[sig-node\]"):
    found = report.judge([{"SpecReports": list(specs)}], focus, skips or {}, code)
    return report.counts(found["specs"]), report.failures(found), found


def test_passed():
    other = spec("other", "skipped") | {"ContainerHierarchyTexts": ["[sig-cli] Kubectl"]}
    assert judge(spec("a"), spec("b"), other)[:2] == ([2, 0, 0], [])


@pytest.mark.parametrize("state", ["failed", "timedout", "panicked", "skipped", "pending"])
def test_whatever_has_not_passed_has_failed(state):
    counts, failures, _ = judge(spec("a"), spec("b", state, "no such image\nmore"), code=1)
    assert counts == [1, 1, 0]
    assert failures == [f"[sig-node] Pods b [Conformance]: {state}: no such image"]


def test_left_out_for_a_reason():
    counts, failures, found = judge(spec("a"), spec("b", "skipped"), skips={"Pods b": "it needs a moon"})
    assert (counts, failures) == ([1, 0, 1], [])
    assert [s["why"] for s in found["specs"]] == ["", "it needs a moon"]


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"focus": "a moon"}, "no spec is found by a moon"),
        ({"focus": report.FOCUS}, r"there are no specs of [sig-network] DNS"),
        ({"skips": {"Pods z": "gone"}}, "skips.json has Pods z, which is no spec"),
        ({"code": 1}, "ginkgo ended with 1"),
    ],
)
def test_what_is_no_spec_s_fault(arguments, what):
    assert any(what in f for f in judge(spec("a"), **arguments)[1])


def test_a_suite_that_does_not_begin():
    before = spec("", "failed", "no nodes", "SynchronizedBeforeSuite")
    assert judge(spec("a"), before)[1] == ["SynchronizedBeforeSuite failed: no nodes"]


def test_the_page(tmp_path):
    (tmp_path / "conformance.md").write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")
    result = judge(spec("a"), spec("b", "failed", "no"))[2] | {"minutes": 3, "kubernetes": "1.0.0"}
    report.save(result, tmp_path)
    page = (tmp_path / "conformance.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert "| `[sig-node] Pods` | 1 | 1 | 0 | 4 |" in page and "- failed: [sig-node] Pods b" in page
    assert json.loads((tmp_path / "conformance.json").read_text())["specs"] == result["specs"]
