"""GIMPS's mprime. The formats in this package are those of 30.19 build 20, the version that
`images/mprime` pins, as that program was observed; other versions differ.

Not seen on that version, but taken from public sources: that the server was reached again, and
what `log` names, reports of P-1 factoring and errors of writing among it. Of the encoded names of
save files two were seen, 13466917 and 57885161; the rest follows from these.
"""

from __future__ import annotations

from mprime.engines.mprime.adapter import Mprime

__all__ = ["Mprime"]
