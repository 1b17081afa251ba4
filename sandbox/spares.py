"""The worker pool by the names that the evaluator file of version 0.1's workspaces imports."""

from sandbox.worker_pool import WorkerPool


class Spares(WorkerPool):
    """`WorkerPool` under its former names."""

    take, give_back, settle = WorkerPool.acquire, WorkerPool.release, WorkerPool.wait_idle
