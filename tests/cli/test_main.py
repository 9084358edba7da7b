from __future__ import annotations

import subprocess
import sys


def test_help_names_every_command(paddock):
    shown = paddock("--help")
    assert shown.code == 0
    for command in ("run", "status", "tokenizer", "pretrain", "sft", "chat", "perplexity", "convert", "inspect"):
        assert f" {command} " in shown.out


def test_a_users_mistake_exits_with_2_and_no_traceback(paddock):
    outcome = paddock("run", "nowhere.yaml")
    assert outcome == (2, "", "error: nowhere.yaml: there is no such recipe\n")


def test_help_starts_without_torch():
    code = "import sys; sys.argv = ['paddock', '--help']\nfrom paddock.cli.main import main\ntry: main()\n"
    code += "except SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_an_interrupted_command_says_how_it_goes_on():
    code = "import sys; sys.argv = ['paddock', 'inspect', '7b']\nfrom paddock.cli import main\n"
    code += "def interrupted(*_, **__): raise KeyboardInterrupt\n"
    code += "import paddock.model.size as size; size.describe_size = interrupted\nmain.main()\n"
    outcome = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert outcome.returncode == 130
    assert "goes on where its last save stands" in outcome.stderr
