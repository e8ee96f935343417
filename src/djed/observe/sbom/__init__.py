"""Contents in the formats by which other tools take them: CycloneDX 1.7 and SPDX 2.3, both as JSON.

The same contents give the same document to the byte: nothing in it is random, and its time is handed in.
"""
