"""Random networks as data: a seed makes a program, a program renders readable source, and the source is run.

program.py   Program and Step, of one of several forms; `build` renders and runs it.
drawing.py   what one operation draws and writes.
operations/  the operations, each a function that writes a few lines of a forward pass.
checks.py    the plain module against replay, tiled, occlusion, dense, fields and attribution.
judging.py   one network: equal, refused or a fault; and its minimisation.
cured.py     the networks that faults were reduced to.
running.py   many networks in several processes.
"""
