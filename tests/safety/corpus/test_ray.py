"""The scan on a Ray cluster. Collected only where the extra is installed (conftest.py)."""

from __future__ import annotations

import json
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from paddock.safety.corpus import scan

TEXTS = [
    f"She is a {word} American {n}. He mailed a{n % 5}@b.org it." for n, word in enumerate(["dear", "silly", "old"] * 7)
]
ALL = ["pronouns", "identities", "languages", "duplicates", "personal data"]


def test_a_cluster_of_two_nodes_gives_what_one_process_gives(settings_of, write_shard, tmp_path: Path):
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text(json.dumps({"text": TEXTS[3]}) + "\n")
    shards = [write_shard(f"{n}.jsonl", TEXTS[n::4]) for n in range(4)] + [write_shard("broken.jsonl.gz", TEXTS)]
    Path(shards[-1]).write_bytes(Path(shards[-1]).read_bytes()[:-9])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        broken = {}
        for name, address in (("ray", cluster.address), ("here", None)):
            settings = settings_of(measures=ALL, benchmarks=[str(benchmark)], workers=1, ray=address)
            broken[name] = scan.scan(shards, settings, tmp_path / name)
    finally:
        ray.shutdown()
        cluster.shutdown()
    on_ray, here = (scan.merged(shards, tmp_path / name) for name in ("ray", "here"))
    assert broken["ray"] == broken["here"]
    assert on_ray[0] == here[0]
    assert on_ray[1].tolist() == here[1].tolist()
    assert [file.read_bytes() for file in on_ray[2]] == [file.read_bytes() for file in here[2]]
