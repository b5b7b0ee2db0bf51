"""execbox on a Ray cluster: a service on every node, and transforms for Ray Data.

``pip install 'execbox[ray,service]'`` on every node, then::

    import ray
    from execbox.ray import Generate, start_fleet

    ray.init("auto")
    fleet = start_fleet()  # one service a node; found again if it runs already
    pairs = ray.data.read_text("functions.jsonl").map_batches(
        Generate, fn_constructor_args=(fleet,), batch_format="pyarrow", batch_size=64,
        num_cpus=0, concurrency=2,
    )
    pairs.write_parquet("pairs")

Work goes to the services over HTTP, many records to a Ray task; Ray places and restarts, and runs
a batch again whose node was lost.
"""

from execbox.ray.fleet import Fleet, find_fleet, start_fleet
from execbox.ray.transforms import Certify, Generate, Run, Verify

__all__ = ["Certify", "Fleet", "Generate", "Run", "Verify", "find_fleet", "start_fleet"]
