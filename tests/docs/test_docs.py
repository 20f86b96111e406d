#!/usr/bin/python3
"""The guides are true: links lead somewhere, quoted programs are the tested ones, marked commands run as written.

A code block after a line `<!-- file: PATH -->` must be the content of that file. A block of shell commands after a
line `<!-- run -->` is run, with the others of its page, in an empty folder, by a shell that stops at the first failure.
"""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = r"<!-- {} -->\n```[a-z]*\n(.*?)```"


class Docs(unittest.TestCase):
    def test_links(self):
        for page in PAGES:
            prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
                if not re.match(r"[a-z]+:", target):
                    self.assertTrue((page.parent / target).exists(), f"{page.relative_to(ROOT)}: no {target}")

    def test_quoted_files(self):
        quoted = 0
        for page in PAGES:
            for path, code in re.findall(BLOCK.format(r"file: (\S+)"), page.read_text(), re.DOTALL):
                quoted += 1
                self.assertEqual(code, (ROOT / path).read_text(), f"{page.relative_to(ROOT)} quotes {path} wrongly")
        self.assertGreater(quoted, 0)

    def test_commands(self):
        commands = 0
        command = Path(os.environ["EQUIPOISE_COMMAND"])
        environment = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"}
        for page in PAGES:
            blocks = re.findall(BLOCK.format("run"), page.read_text(), re.DOTALL)
            commands += len(blocks)
            if not blocks:
                continue
            with self.subTest(page=page.name), tempfile.TemporaryDirectory(prefix="equipoise-") as folder:
                ended = subprocess.run(["bash", "-e"], input="\n".join(blocks), cwd=folder, env=environment,
                                       capture_output=True, text=True, timeout=600)
                self.assertEqual(ended.returncode, 0, f"{page.name}\n{ended.stdout}\n{ended.stderr}")
        self.assertGreater(commands, 0)


if __name__ == "__main__":
    unittest.main()
