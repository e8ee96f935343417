"""The nouns: frozen, keyword-only, slotted dataclasses; no I/O, no third-party import.

Each is file model, API body and database JSON at once. A change makes a new value (``dataclasses.replace``).
The words are those of ``docs/glossary.md``.
"""
