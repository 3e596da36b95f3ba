import awkward as ak
import numpy as np

from fasthep_parsl import op


@op("custom.transverse_mass", reads=["GoodMuon_pt", "GoodMuon_phi", "MET_pt", "MET_phi"], writes=["mt"])
def transverse_mass(events):
    """Transverse mass of the leading muon and the missing momentum, in GeV."""
    pt, phi = ak.firsts(events.GoodMuon_pt), ak.firsts(events.GoodMuon_phi)
    return {"mt": np.sqrt(2 * pt * events.MET_pt * (1 - np.cos(phi - events.MET_phi)))}
