"""Where `fp.run` shows its progress outside of notebooks."""

import sys

import fasthep_parsl as fp


def test_nothing_unless_it_is_asked_for(flow, small_files, capfd):
    plan = flow.write([flow.stage("Sum", "probe.sum", [])], [small_files / "a.root"]).compile(chunk_size=10)
    loaded = "IPython" in sys.modules
    fp.run(plan, outdir=flow.folder / "one", plots=False)
    assert capfd.readouterr() == ("", "")
    fp.run(plan, outdir=flow.folder / "two", plots=False, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("complete: 100 of 100 events in ")
    assert ("IPython" in sys.modules) == loaded
