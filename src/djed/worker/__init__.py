"""The worker: load (short transaction) → work (no transaction) → apply (short transaction, guarded by the fencing token)."""

from djed.worker.loop import Worker

__all__ = ["Worker"]
