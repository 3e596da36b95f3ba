"""Products of a run → files: histograms, pictures, cutflows and everything else. Imports nothing heavy until used."""

from __future__ import annotations

from fasthep_parsl.results.cutflows import cutflow_table
from fasthep_parsl.results.write import preload, read_products, write_numbers_of, write_pictures, write_results

__all__ = ["cutflow_table", "preload", "read_products", "write_numbers_of", "write_pictures", "write_results"]
