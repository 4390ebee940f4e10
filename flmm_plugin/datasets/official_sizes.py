"""How large the official splits are, to tell a whole download from a part of one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Of one split. A reference is an object (or several) with its expressions. None: not known here."""

    images: int
    references: int | None = None
    expressions: int | None = None

    def phrases(self, protocol: str) -> int | None:
        """How many phrases a data set of this protocol has; a random sentence is one for each reference."""
        return self.expressions if protocol.endswith('all_sentences') else self.references


#: By the name that results have. docs/data.md gives the sources; what no source confirmed is left out.
OFFICIAL_SIZES = {
    'refcoco_train': Size(16994, 42404, 120624),
    'refcoco_val': Size(1500, 3811, 10834),
    'refcoco_testA': Size(750, 1975, 5657),
    'refcoco_testB': Size(750, 1810, 5095),
    'refcoco+_train': Size(16992, 42278, 120191),
    'refcoco+_val': Size(1500, 3805, 10758),
    'refcoco+_testA': Size(750, 1975, 5726),
    'refcoco+_testB': Size(750, 1798, 4889),
    'refcocog_train': Size(21899, 42226, 80512),
    'refcocog_val': Size(1300, 2573, 4896),
    'refcocog_test': Size(2600, 5023, 9602),
    'reasonseg_train': Size(239),
    'reasonseg_val': Size(200),
    'reasonseg_test': Size(779),
}
