// How results of the search are ordered: as by default, and decisions after the pages that say how things are done.
var Scorer = {
  score: (result) => {
    const [docname, title, anchor, descr, score] = result;
    return docname.startsWith("adr/") ? score - 10 : docname.startsWith("reference/") ? score + 1 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
