import awkward as ak
import hist
import matplotlib.pyplot as plt
from coffea import processor
from coffea.analysis_tools import PackedSelection
from coffea.nanoevents import NanoAODSchema


class Dimuon(processor.ProcessorABC):
    def process(self, events):
        muons = events.Muon[(events.Muon.pt > 20) & (abs(events.Muon.eta) < 2.4)]
        pairs = ak.combinations(muons, 2, fields=["first", "second"])
        pairs = pairs[pairs.first.charge * pairs.second.charge < 0]
        selection = PackedSelection()
        selection.add("pair", ak.num(pairs) >= 1)
        keep = selection.all("pair")
        pairs = pairs[keep]
        mass = (pairs.first + pairs.second).mass
        best = ak.firsts(mass[ak.argmin(abs(mass - 91.2), axis=1, keepdims=True)])
        peak = hist.Hist.new.Reg(60, 60, 120, name="mass", label=r"$m_{\mu\mu}$ [GeV]").Weight()
        peak.fill(best, weight=events.genWeight[keep])
        return {"peak": peak, "cutflow": {"all": len(events), "pair": int(ak.sum(keep))}}

    def postprocess(self, accumulator):
        return accumulator


if __name__ == "__main__":
    run = processor.Runner(processor.IterativeExecutor(), schema=NanoAODSchema)
    result = run({"dy": ["data/dy_000.root"]}, Dimuon(), treename="Events")
    print(result["cutflow"])
    result["peak"].plot()
    plt.savefig("ZPeak.png")
