"""`fp.run` in a real kernel of Jupyter: its progress, its result, an interrupt, and further runs in the same kernel."""

import json
import os
import shutil

import pytest
from jupyter_client.manager import start_new_kernel

from conftest import ROOT, write_small
from integration.runs import Records

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """Run code in a kernel; returns its messages."""
    folder = tmp_path_factory.mktemp("kernel")
    shutil.copyfile(ROOT / "tests" / "probe_ops.py", folder / "probe_ops.py")
    write_small(folder / "a.root", 0, [40])
    sleep = {"id": "Sleep", "op": "probe.sleep", "params": {"seconds": 0.2}}
    for name, stages in (("quick", []), ("slow", [sleep])):
        content = {
            "version": "1.0",
            "use": {"modules": ["probe_ops.py"]},
            "data": {"datasets": [{"name": "d", "files": ["a.root"]}]},
            "sources": {"events": {"kind": "root_tree", "tree": "Events"}},
            "analysis": {"stages": [*stages, {"id": "Sum", "op": "probe.sum", "params": {}}]},
            "execution": {"backend": "parsl", "pools": {"default": {"workers": 2}}},
        }
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    env = {**os.environ, "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "IPYTHONDIR": str(folder / "ipython")}
    manager, client = start_new_kernel(cwd=str(folder), env=env)

    def go(code, during=lambda _kind, _content: None):
        messages = []

        def hook(message):
            messages.append((message["msg_type"], message["content"]))
            during(*messages[-1])

        client.execute_interactive(code, output_hook=hook, timeout=250)
        return messages

    go.manager, go.folder = manager, folder
    go("import fasthep_parsl as fp")
    yield go
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def texts(messages, *kinds):
    return [content["data"]["text/plain"] for kind, content in messages if kind in kinds]


def test_progress_and_result_are_shown(kernel):
    messages = kernel("fp.run('quick.yaml', outdir='quick', plots=False, chunk_size=10)")
    assert [kind for kind, _ in messages if kind == "stream"] == []
    shown = texts(messages, "display_data", "update_display_data")
    assert shown[0] == "reading the workflow"
    assert shown[-1].startswith("complete: 40 of 40 events")
    assert all("text/html" in content["data"] for kind, content in messages if kind == "update_display_data")
    assert len([kind for kind, _ in messages if kind == "display_data"]) == 1
    (result,) = [content["data"] for kind, content in messages if kind == "execute_result"]
    assert "Complete: all 40 events are in the results." in result["text/html"]
    assert "Complete: all 40 events are in the results." in result["text/plain"]


def test_an_interrupt_ends_the_run_and_the_kernel_continues_it(kernel):
    interrupted = []

    def stop(kind, _content):
        if kind == "update_display_data" and not interrupted and Records(kernel.folder / "slow").events("finished"):
            interrupted.append(True)
            kernel.manager.interrupt_kernel()

    options = "outdir='slow', plots=False, chunk_size=1"
    messages = kernel(f"fp.run('slow.yaml', {options})", stop)
    (error,) = [content for kind, content in messages if kind == "error"]
    assert error["ename"] == "KeyboardInterrupt"
    run = Records(kernel.folder / "slow")
    assert run.summary()["status"] == "interrupted"
    assert 0 < run.summary()["events"]["done"] < 40
    run.assert_nothing_left()
    opened = kernel("fp.open_run('slow')")
    assert "Interrupted: " in texts(opened, "execute_result")[0]
    assert "mode=&#39;resume&#39;" in next(c["data"]["text/html"] for kind, c in opened if kind == "execute_result")
    again = kernel(f"fp.run('slow.yaml', {options}, mode='resume')")
    assert "Complete: all 40 events" in texts(again, "execute_result")[0]
    run.assert_nothing_left()


def test_an_observer_or_progress_false_shows_nothing(kernel):
    local = "overrides=['execution.backend=local']"
    for option in ("observer=lambda event: None", "progress=False"):
        messages = kernel(f"o = fp.run('quick.yaml', outdir='quick', mode='force', plots=False, {local}, {option})")
        assert texts(messages, "display_data", "update_display_data") == []
