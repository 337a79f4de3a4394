"""Studio: a local web page that looks inside a network, live.

`serve` of `striate.studio.server` starts it. The page is TypeScript in `studio/web`, bundled into `page/` when the package
is built; what it shows is computed here by the same functions that the command line calls.
"""

# Files of this room that other rooms import from.
OPEN = ("server",)
