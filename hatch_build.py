"""Build hook: bundles the studio's page into the package, where Node is at hand.

Who installs a wheel needs no Node. Who installs from a checkout without it gets everything but the page, and
`striate studio` says how to build it. STRIATE_PAGE=no leaves it out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):
    """Runs `npm ci` and `npm run build` in studio/web."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files of a wheel or of an editable install are gathered."""
        web = Path(self.root) / "studio" / "web"
        npm = shutil.which("npm")
        if self.target_name != "wheel" or npm is None or os.environ.get("STRIATE_PAGE") == "no":
            return
        for words in (["ci", "--ignore-scripts"], ["run", "build"]):
            done = subprocess.run([npm, *words], cwd=web, capture_output=True, text=True)
            if done.returncode:
                print(
                    f"the studio's page is not built: npm {words[0]} failed\n{done.stderr}",
                    file=sys.stderr,
                )
                return
