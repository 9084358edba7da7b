from __future__ import annotations

import json
from pathlib import Path

from paddock.miniature.world import WorldSettings, write_world
from paddock.model.checkpoint import save_model
from paddock.model.config import ModelConfig
from paddock.model.transformer import Transformer
from paddock.run_dir import StageDir
from paddock.stages.evaluate_world import EvaluateWorldSettings, plan, run, score_rows
from paddock.text.tokenizer import train_tokenizer


def test_intervals_become_rows_of_metric_and_group():
    interval = {"estimate": 0.5, "lower": 0.4, "upper": 0.6, "n": 9}
    figures = {"prompts": 9, "violations": interval, "violations_by_style": {"plain": interval}}
    assert list(score_rows(figures)) == [
        {"metric": "violations", "group": "overall", "unit": "share", **interval},
        {"metric": "violations", "group": "style: plain", "unit": "share", **interval},
    ]


def test_every_held_out_prompt_is_answered_graded_and_kept(tmp_path: Path):
    sizes = {"held_out_helpful": 18, "held_out_harmful": 7, "held_out_borderline": 7, "held_out_system": 4}
    world = WorldSettings(documents=20, demonstrations=50, training_prompts=8, system_turns=2, **sizes)
    write_world(tmp_path / "world", world)
    texts = [json.loads(line)["text"] for line in (tmp_path / "world" / "documents.jsonl").read_text().splitlines()]
    save_model(
        Transformer(ModelConfig(400, 16, 1, 2, 1, 32, context_length=256)), tmp_path / "m", train_tokenizer(texts, 400)
    )
    settings = EvaluateWorldSettings(model=str(tmp_path / "m"), data=str(tmp_path / "world"))
    assert plan(settings) == {"prompts": 32, "dialogs_under_system_message": 4}
    stage_dir = StageDir(tmp_path / "out")
    results = run(settings, stage_dir)
    overall = {row["metric"]: row for row in results["scores"] if row["group"] == "overall"}
    assert overall["helpfulness"]["n"] == 18
    assert overall["violations"]["n"] == overall["false_refusals"]["n"] == 7
    assert results["prompts"] == 32
    assert len(stage_dir.samples_file.read_text().splitlines()) == 32 + 4 * 2
