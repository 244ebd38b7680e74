"""GIMPS's mprime. The formats in this package are those of 30.19 build 20, the version that
`images/mprime` pins, as that program was observed; other versions differ.

Not seen on that version: reports of P-1 factoring (those of the older sources' ecm.c), that the
server was reached again, and errors of writing, in other words than those of the log. Of the
encoded names of save files two were seen, 13466917 and 57885161; the rest follows from these.
"""

from __future__ import annotations

from engines.mprime.adapter import Mprime

__all__ = ["Mprime"]
