"""GIMPS's mprime. The formats in this package are those of 30.19 build 20, the version that
`images/mprime` pins, as that program was observed; other versions differ.

Reports of P-1 factoring and names of save files from 61 million on are from its sources (ecm.c,
tempFileName in commonb.c).
"""

from __future__ import annotations

from engines.mprime.adapter import Mprime

__all__ = ["Mprime"]
